"""Every margin model as an operator's terms: real FHE and proofs, processes of their own, and a verifier apart.

The demo's own test plays `scan`.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.demo.processes import command
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import load_group

from .. import postgres
from .small_models import NAMES, write_small_story

pytestmark = [pytest.mark.fhe, pytest.mark.long, pytest.mark.timeout(400)]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_served_called_and_verified(name: str, tmp_path: Path) -> None:
    examples, folder = write_small_story(name, tmp_path / "examples"), tmp_path / "out"
    arguments = command("demo", "--out", str(folder), "--examples", str(examples))
    with postgres.operator_s_database(folder):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((folder / "demo.json").read_text())
    assert [tick["settlement"] for tick in result["ticks"]] == ["none", "margin_call", "none", "liquidation"]
    for tick in result["ticks"]:
        assert tick["decrypted_breach"] == tick["plaintext_breach"] == int(tick["settlement"] != "none")
        assert tick["answer_verified"] is True
        assert tick["ledger_sum"] == 0
    trust = TrustFile.parse(json.loads((folder / "trust.json").read_text()))
    for number in range(1, 5):
        bundle: dict[str, Any] = json.loads((folder / "attestations" / f"tick-{number}.json").read_text())
        report = verify_attestation(bundle, trust, load_group())
        assert report.record is not None
        assert bundle["body"]["model"]["name"] == name
        assert bundle["body"]["answer"]["body"]["form"] == "exact"
