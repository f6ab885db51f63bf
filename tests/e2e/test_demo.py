"""`atomic-margin demo`, and the verifier on what it leaves: every part is real, on a small set of documents.

`.ci/run` has `make demo` besides, with the examples and the default profile as a newcomer sees it, and tests what that
leaves: ATOMIC_MARGIN_DEMO names a folder that a demo wrote, and none is played then.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.verify import app as verify_app
from atomic_margin.service.demo.processes import command

from .. import postgres
from .small import write_small_examples

pytestmark = [pytest.mark.fhe, pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that one run of the demo wrote, and nothing else of it."""
    if "ATOMIC_MARGIN_DEMO" in os.environ:
        return Path(os.environ["ATOMIC_MARGIN_DEMO"])
    folder = tmp_path_factory.mktemp("demo") / "out"
    examples = write_small_examples(folder.with_name("examples"))
    arguments = command("demo", "--out", str(folder), "--examples", str(examples), "--profile", "tiny")
    with postgres.operator_s_database(folder):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # The last lines say what this version does not prove.
    assert "it is the institution's declaration" in " ".join(done.stdout.split())
    return folder


def verify(bundle: Path, trust: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the verifier's command in this process, which spares the seconds that starting one takes."""
    result = CliRunner().invoke(verify_app, [str(bundle), "--trust", str(trust), "--json", *options])
    return result.exit_code, json.loads(result.stdout)


def verify_in_a_process(bundle: Path, trust: Path) -> tuple[int, dict[str, Any]]:
    """Run the verifier on two files in an empty folder."""
    arguments = command("verify", str(bundle), "--trust", str(trust), "--json")
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=bundle.parent)
    return done.returncode, json.loads(done.stdout)


def test_the_ticks_as_told(demo: Path) -> None:
    result = json.loads((demo / "demo.json").read_text())
    ticks, steps = result["ticks"], result["story"]["steps"]
    sent = [step["tick"] for step in steps if "tick" in step]
    assert [tick["tick"] for tick in ticks] == list(range(1, len(sent) + 1))
    # The example's story has an expiry more than the small one.
    quiet = ["none"] * (len(sent) - 3)
    assert [tick["settlement"] for tick in ticks] == ["none", "margin_call", *quiet, "liquidation"]
    for tick in ticks:
        assert tick["decrypted_breach"] == tick["plaintext_breach"] == int(tick["settlement"] != "none")
        assert tick["answer_verified"] is True
        assert tick["ledger_sum"] == 0
        assert tick["checkpoint"]["origin"] == "demo.example/log"
        assert list(tick["checkpoint"]["cosigned"]) == ["witness.example/demo"]
        assert (tick["shortfall_true"] > 0) == (tick["top_up"] > 0) == bool(tick["decrypted_breach"])
        assert tick["top_up"] >= tick["shortfall_true"]
        assert all(seconds >= 0 for seconds in tick["seconds"].values())
    # A tick each with what three sources signed, and whatever happened to the account; a witness stands for all of it.
    history = result["history"]
    assert (history["holds"], history["ticks"], history["accounts"]) == (True, str(len(sent)), "1")
    assert int(history["size"]) == len(sent) * (1 + 3) + int(history["entries"])
    assert int(history["runs"]) >= len(sent)
    assert (list(history["witnesses"]), history["needed"]) == (["witness.example/demo"], "1")
    # Where other tests compete for the cores, by as much more as there are processes to a core.
    crowding = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    # Compiling the circuits counts, where no cache has them yet.
    assert result["seconds"]["total"] < 420 * crowding
    written = {"demo.json", "trust.json", "attestations", "logs", "reports", "larkfield.archive.zip"}
    assert {path.name for path in demo.iterdir()} == written


def test_excess_comes_back_with_a_proof_after_the_call(demo: Path) -> None:
    result = json.loads((demo / "demo.json").read_text())
    (step,) = (step["release"] for step in result["story"]["steps"] if "release" in step)
    (entry,) = (entry for entry in result["ticks"] if "released" in entry)
    called = next(entry["tick"] for entry in result["ticks"] if entry["settlement"] == "margin_call")
    released = entry["released"]
    assert entry["tick"] > called
    assert (released["taken"], released["proven"]) == (step, True)
    assert released["excess"] > 0
    # The next tick counts what remained, and the bundle says how much that is.
    bundle = json.loads((demo / "attestations" / f"tick-{entry['tick'] + 1}.json").read_text())
    assert bundle["body"]["run"]["body"]["posted"] == released["remaining"]


def test_what_people_file(demo: Path, tmp_path: Path) -> None:
    """The notice of the call is a page with the amount, and the archive says offline what the demo saw."""
    result = json.loads((demo / "demo.json").read_text())
    called = next(entry for entry in result["ticks"] if entry["settlement"] == "margin_call")
    assert result["notices"] == [f"call-{called['tick']}.html"]
    page = (demo / "reports" / result["notices"][0]).read_text()
    assert f"{called['top_up']:,.0f} USD" in page
    assert called["run"] in page
    archive, trust = (Path(shutil.copy(demo / name, tmp_path)) for name in ("larkfield.archive.zip", "trust.json"))
    status, verdict = verify(archive, trust)
    assert (status, verdict["valid"]) == (0, True), verdict
    told = result["archive"]
    assert told["agrees"] is True
    assert verdict.items() <= told.items()
    assert (verdict["status"], verdict["posted"], verdict["free"]) == ("in_default", {}, {})
    assert verdict["happened"]["released"] == "1"
    assert verdict["log"] is not None


def test_every_attestation_verifies_from_public_files_alone(demo: Path, tmp_path: Path) -> None:
    shutil.copy(demo / "trust.json", tmp_path / "trust.json")
    bundles = sorted((demo / "attestations").iterdir())
    found = [verify(bundle, tmp_path / "trust.json") for bundle in bundles]
    for status, verdict in found:
        assert (status, verdict["valid"]) == (0, True), verdict
        assert len(verdict["held"]) == 13
    # A process in an empty folder says the same.
    copied = Path(shutil.copy(bundles[1], tmp_path))
    assert verify_in_a_process(copied, tmp_path / "trust.json") == found[1]


def other_hex(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


@pytest.mark.parametrize(
    ("path", "change", "step"),
    [
        ("version", lambda _: "3", "format"),
        ("model.initial_factor", lambda _: "1.2", "trust anchors"),
        ("universe.name", lambda text: text + "x", "trust anchors"),
        ("schedule.assets.0.haircut", lambda _: "0", "trust anchors"),
        ("tick.body.market.underlyings.BTC.spot", lambda _: "99999.5", "price tick"),
        ("tick.body.prices.0.body.market.underlyings.BTC.spot", lambda _: "99999.5", "price tick"),
        ("tick.body.previous", other_hex, "price tick"),
        ("last_market.body.prices.0.signature", other_hex, "price tick"),
        ("tick.signature", other_hex, "run record"),
        ("run.body.posted.USDC", lambda text: text + "0", "run record"),
        ("run.body.deadline", lambda _: "2030-01-01T00:00:00Z", "run record"),
        ("submission.body.commitments.0", other_hex, "submission"),
        ("submission.body.portfolio_proof", other_hex, "submission"),
        ("run.body.matrices.maintenance_proof", other_hex, "run record"),
        ("answer.body.top_up", lambda text: str(int(text) * 2), "answer"),
        ("answer.body.sufficiency_proof", other_hex, "answer"),
        ("answer.signature", other_hex, "answer"),
        ("settlement.body.kind", lambda _: "liquidation", "settlement"),
        ("settlement.body.transfers.0.quantity", lambda text: text + "0", "settlement"),
    ],
)
def test_a_changed_field_is_named(
    demo: Path, tmp_path: Path, path: str, change: Callable[[str], str], step: str
) -> None:
    bundle = json.loads((demo / "attestations" / "tick-2.json").read_text())
    *parents, last = path.split(".")
    target = bundle["body"]
    for name in parents:
        target = target[int(name)] if isinstance(target, list) else target[name]
    key: Any = int(last) if isinstance(target, list) else last
    target[key] = change(target[key])
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(bundle))
    status, verdict = verify(changed, demo / "trust.json")
    assert (status, verdict["valid"], verdict["failed"]) == (1, False, step), verdict
    assert verdict["reason"]


def test_swapped_files_are_refused(demo: Path, tmp_path: Path) -> None:
    """A trust file for a bundle, a bundle for a trust file, a file that is not there: one sentence each."""
    bundle, trust = demo / "attestations" / "tick-1.json", demo / "trust.json"
    for first, second in ((trust, trust), (bundle, bundle), (tmp_path / "absent.json", trust)):
        result = CliRunner().invoke(verify_app, [str(first), "--trust", str(second)])
        assert result.exit_code in (1, 2)
        assert isinstance(result.exception, SystemExit)
        # A verdict is on standard output, what cannot be read on the other.
        assert len((result.stdout + result.stderr).strip().splitlines()) == 1, result.output


@pytest.mark.slow
def test_the_reference_backend_verifies_a_bundle(demo: Path) -> None:
    status, verdict = verify(demo / "attestations" / "tick-2.json", demo / "trust.json", "--backend", "reference")
    assert (status, verdict["valid"]) == (0, True)
