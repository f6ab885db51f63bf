"""`atomic-margin demo-chain`: a call and a liquidation in a vault on anvil, by real proofs of a real encrypted run.

Operator, institution, witness and three signers are processes; nothing is a stand-in but the token, which moves and
does nothing else.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.contracts import local_chain
from atomic_margin.service.demo.processes import command

from .. import outside

pytestmark = [pytest.mark.fhe, pytest.mark.long, pytest.mark.timeout(900)]

CAP = 16_777_216


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that one run of the demo wrote."""
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    if "ATOMIC_MARGIN_DEMO_CHAIN" in os.environ:
        return Path(os.environ["ATOMIC_MARGIN_DEMO_CHAIN"])
    folder = tmp_path_factory.mktemp("demo-chain") / "out"
    done = subprocess.run(command("demo-chain", "--out", str(folder)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def told(demo: Path) -> dict[str, Any]:
    """What the demo says of itself."""
    found: dict[str, Any] = json.loads((demo / "demo.json").read_text())
    return found


def test_one_tick_is_covered_one_called_and_one_liquidates(told: dict[str, Any]) -> None:
    assert [tick["settlement"] for tick in told["ticks"]] == ["none", "margin_call", "liquidation"]
    assert [one["kind"] for one in told["chain"]["settled"]] == ["margin_call", "liquidation"]
    assert all(tick["decrypted_breach"] == tick["plaintext_breach"] for tick in told["ticks"])


def test_every_bundle_verifies_and_the_ledger_moved_what_the_chain_moved(told: dict[str, Any], demo: Path) -> None:
    assert all(tick["answer_verified"] for tick in told["ticks"])
    for settled, number in zip(told["chain"]["settled"], (2, 3), strict=True):
        bundle = json.loads((demo / "attestations" / f"tick-{number}.json").read_text())
        moved = bundle["body"]["settlement"]["body"]["transfers"]
        assert {move["asset"] for move in moved} == {"USDC"}
        assert sum(int(move["quantity"]) for move in moved) == int(settled["amount"])


def test_gas_is_within_what_a_transaction_may_take(told: dict[str, Any]) -> None:
    for settled in told["chain"]["settled"]:
        gas = {name: int(taken) for name, taken in settled["gas"].items()}
        assert gas["breach"] <= 2_000_000
        assert gas["breach"] + gas["top-up"] < CAP
        assert gas["settle"] < CAP


def test_each_party_was_a_process_of_its_own(demo: Path) -> None:
    logs = {log.stem for log in (demo / "logs").glob("*.log")}
    assert logs == {"institution", "operator", "signer-1", "signer-2", "signer-3", "witness"}
