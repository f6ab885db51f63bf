"""`atomic-margin demo-custodians`: an institution is killed at a breach, and its custodians open its book.

Operator, institution, witness and four custodians are processes; circuits, shares, computation and proofs are real.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.demo.processes import command

pytestmark = [pytest.mark.fhe, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that one run of the demo wrote."""
    if "ATOMIC_MARGIN_DEMO_CUSTODIANS" in os.environ:
        return Path(os.environ["ATOMIC_MARGIN_DEMO_CUSTODIANS"])
    folder = tmp_path_factory.mktemp("demo-custodians") / "out"
    done = subprocess.run(command("demo-custodians", "--out", str(folder)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def told(demo: Path) -> dict[str, Any]:
    """What the demo says of itself."""
    found: dict[str, Any] = json.loads((demo / "demo.json").read_text())
    return found


def test_two_ticks_are_answered_and_the_next_one_opened(told: dict[str, Any]) -> None:
    calm, called, opened = told["ticks"]
    assert (calm["settlement"], calm["answer_verified"]) == ("none", True)
    assert (called["settlement"], called["answer_verified"]) == ("margin_call", True)
    assert (opened["flag"], opened["settlement"], opened["answer_verified"]) == ("opened", "liquidation", True)
    assert opened["ledger_sum"] == 0


def test_the_bundle_has_no_flag_and_no_value_of_a_row(demo: Path, told: dict[str, Any]) -> None:
    bundle = json.loads((demo / "attestations" / "tick-3.json").read_text())["body"]
    assert "flag_words" not in bundle
    found = bundle["answer"]["body"]
    assert bundle["answer"]["type"] == "opened"
    assert {verdict["body"]["custodian"] for verdict in found["verdicts"]} <= {
        one["identity"] for one in told["policy"]
    }
    assert len(found["verdicts"]) >= 2
    assert float(found["top_up_usd"]) == told["ticks"][2]["top_up"]
    assert set(found) == {
        "institution", "operator", "request", "run_id", "run", "submission", "price_sequence", "outcome", "initial_row",
        "top_up", "top_up_usd", "breach_proof", "lack_proof", "verdicts", "opened_at",
    }  # fmt: skip


def test_each_party_was_a_process_of_its_own(demo: Path) -> None:
    logs = {log.stem for log in (demo / "logs").glob("*.log")}
    assert logs == {
        "institution", "operator", "witness", "custodian-1", "custodian-2", "custodian-3", "custodian-4",
    }  # fmt: skip
