"""Audits of runs that a real server stored: confirmed, refuted, undecided.

Runs and audits are evaluated under encryption, by workers of the real program.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.circuits.profile import TINY, Profile
from atomic_margin.fhe import evaluator as evaluators
from atomic_margin.fhe.evaluator import CLOSE_SECONDS, Evaluator, IntArray
from atomic_margin.fhe.worker import Evaluation, KeyFile
from atomic_margin.service.audit.decrypt import compare
from atomic_margin.service.audit.errors import BytesMissing, RecordInconsistent, RunUnknown
from atomic_margin.service.audit.evidence import STEPS, Evidence
from atomic_margin.service.audit.report import MANIFEST
from atomic_margin.service.audit.search import Verdict, overall, repeat
from atomic_margin.service.cli.main import app
from atomic_margin.service.files import read_json

from .audits import BREACHED, LAST, NO_PLAN, altered, call, evidence_of, restate
from .harness import World

pytestmark = [pytest.mark.fhe, pytest.mark.long]


class Kept(Evaluator):
    """An evaluator whose worker outlives the audit that used it, so that a second one meets the same plan.

    Asked the same again, it gives what its worker gave: a run is evaluated once to be recorded (`recorded_by`), and
    once more to be compared with that. A shortfall, which takes three times as long, is evaluated once for both: that
    one process gives the same bytes twice is in `tests/fhe/test_evaluation.py`.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.given: dict[tuple[object, ...], Evaluation] = {}
        self.recorded: dict[tuple[object, ...], Evaluation] = {}

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: IntArray,
        c: IntArray,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        asked = (keys.sha256, ciphertext, A.tobytes(), c.tobytes(), functions)
        if asked not in self.given:
            self.given[asked] = super().evaluate(keys, ciphertext, A, c, functions, chosen)
        return self.given[asked]

    def recorded_by(self, evidence: Evidence, *functions: str) -> tuple[dict[str, bytes], str]:
        inputs = evidence.keys, evidence.ciphertext, evidence.A, evidence.c, functions
        asked = (evidence.keys.sha256, evidence.ciphertext, evidence.A.tobytes(), evidence.c.tobytes(), functions)
        if asked not in self.recorded:
            shared = functions == ("shortfall",)
            self.recorded[asked] = self.evaluate(*inputs) if shared else super().evaluate(*inputs)
        found = self.recorded[asked]
        return found.outputs, found.fingerprint

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        pass

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    evaluator = Kept(TINY)
    yield evaluator
    evaluator.end()


def contents(directory: Path) -> dict[str, str]:
    # SQLite leaves empty side files behind, read-only or not.
    files = [path for path in directory.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_of_a_real_server_is_repeated_by_a_fresh_worker(operator: Path, tmp_path: Path) -> None:
    before = contents(operator)
    result = call(LAST, "--dir", operator, "--json", tmp_path / "audit.json", "--starts", 1)
    found = read_json(tmp_path / "audit.json", numbers=True)
    assert contents(operator) == before
    assert found["held"] == list(STEPS)
    (evaluation,) = found["evaluations"]
    assert evaluation["functions"] == ["surplus", "breach"]
    # Whatever the plans: surplus has no bootstrap.
    assert evaluation["repeated"]["surplus"] == evaluation["recorded"]["surplus"]
    assert sum(evaluation["plans"].values()) == evaluation["starts"]
    # Which plan a fresh worker chooses is up to its clock: the recorded one may not come up in one start. What a
    # longer search does is in `tests/service/test_audit_search.py`.
    if evaluation["fft_plan"] in evaluation["plans"]:
        assert (found["verdict"], result.exit_code) == ("confirmed", 0)
        assert evaluation["repeated"] == evaluation["recorded"]
    else:
        assert (found["verdict"], result.exit_code, evaluation["starts"]) == ("undecided", 2, 1)


def test_the_recorded_plan_confirms_the_run(operator: Path, kept: Kept) -> None:
    restate(operator, LAST, *kept.recorded_by(evidence_of(operator, LAST), "surplus", "breach"))
    (found,) = repeat(evidence_of(operator, LAST), 1, lambda: kept)
    assert (found.verdict, found.hashes) == (Verdict.CONFIRMED, found.evaluated.hashes)
    assert (found.plan_free, found.starts) == (("surplus",), 1)


def test_a_shortfall_is_audited_under_its_own_plan(operator: Path, kept: Kept) -> None:
    words, plan = kept.recorded_by(evidence_of(operator, BREACHED), "shortfall")
    for data, verdict in ((words["shortfall"], Verdict.CONFIRMED), (altered(words["shortfall"]), Verdict.REFUTED)):
        restate(operator, BREACHED, {"shortfall": data}, plan)
        run, shortfall = repeat(evidence_of(operator, BREACHED), 1, lambda: kept)
        assert (run.evaluated.functions, shortfall.evaluated.functions) == (("surplus", "breach"), ("shortfall",))
        # What decides about breach is another fingerprint, and whether this worker has it is chance.
        assert run.verdict is not Verdict.REFUTED
        assert run.evaluated.fft_plan not in shortfall.plans
        assert (shortfall.verdict, shortfall.differs) == (
            verdict,
            ("shortfall",) if verdict is Verdict.REFUTED else (),
        )


@pytest.mark.parametrize("name", ["surplus", "breach"])
def test_an_altered_output_is_refuted_however_well_it_is_signed(operator: Path, kept: Kept, name: str) -> None:
    words, plan = kept.recorded_by(evidence_of(operator, LAST), "surplus", "breach")
    restate(operator, LAST, {**words, name: altered(words[name])}, plan)
    found = repeat(evidence_of(operator, LAST), 1, lambda: kept)
    assert overall(found) is Verdict.REFUTED
    assert found[0].differs == (name,)


def test_another_surplus_is_refuted_without_the_plan(operator: Path, tmp_path: Path) -> None:
    stored = evidence_of(operator, LAST).evaluations[0].words
    restate(operator, LAST, {**stored, "surplus": altered(stored["surplus"])}, NO_PLAN)
    result = call(LAST, "--dir", operator, "--starts", 1, "--json", tmp_path / "audit.json")
    assert result.exit_code == 1
    assert "refuted" in result.output
    assert "surplus gives other bytes" in result.output
    found = read_json(tmp_path / "audit.json", numbers=True)
    assert (found["verdict"], found["evaluations"][0]["differs"]) == ("refuted", ["surplus"])


def test_a_plan_that_never_comes_up_is_undecided(operator: Path, audited: World, tmp_path: Path) -> None:
    stored = evidence_of(operator, LAST).evaluations[0].words
    restate(operator, LAST, stored, NO_PLAN)
    outputs = tmp_path / "outputs"
    result = call(LAST, "--dir", operator, "--starts", 2, "--outputs", outputs)
    assert result.exit_code == 2
    for said in ("undecided", "none of 2 workers", "plans seen", "surplus gave the recorded bytes", "--starts"):
        assert said in result.output
    # The agent never saw a record with that plan: it decrypts nothing for it.
    with pytest.raises(RunUnknown, match="nothing is decrypted"):
        compare(outputs, audited.root / "institution")


def test_the_institution_compares_what_both_outputs_decrypt_to(
    operator: Path, audited: World, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is decrypted here does not depend on how fresh the worker was.
    monkeypatch.setattr(evaluators, "Evaluator", lambda *_, **__: kept)
    restate(operator, BREACHED, *kept.recorded_by(evidence_of(operator, BREACHED), "shortfall"))
    outputs, institution = tmp_path / "outputs", audited.root / "institution"
    assert call(BREACHED, "--dir", operator, "--starts", 1, "--outputs", outputs).exit_code in (0, 2)
    found = {comparison.function: comparison.agree for comparison in compare(outputs, institution)}
    assert found == {"surplus": True, "breach": True, "shortfall": True}

    # The body moved by a quarter of the torus decrypts to something else.
    path = outputs / "breach.repeated.words"
    words = path.read_bytes()
    path.write_bytes(words[:-1] + bytes([(words[-1] + 64) % 256]))
    command = ["institution", "compare-audit", str(outputs), "--dir", str(institution)]
    told = CliRunner().invoke(app, command)
    assert (told.exit_code, told.stdout.count("agrees"), told.stdout.count("differs: breach")) == (1, 2, 1), told.output
    assert "replace the keys before you tell anybody" in told.stderr

    # Recorded words that are not the record's are not decrypted at all.
    (outputs / "surplus.recorded.words").write_bytes(altered((outputs / "surplus.recorded.words").read_bytes()))
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 2
    assert "not those that the record names" in told.stderr
    manifest = json.loads((outputs / MANIFEST).read_text())
    assert manifest["run"]["body"]["run_id"] == BREACHED

    # What an auditor sends may be anything: it is refused by name, and nothing large is read.
    (outputs / "surplus.recorded.words").write_bytes(bytes(9))
    with pytest.raises(BytesMissing, match="has 9 bytes instead of"):
        compare(outputs, institution)
    odd: list[Any] = [[], "x", {**manifest, "functions": []}, {**manifest, "functions": {"breach": "x"}}]
    for value in (*odd, {**manifest, "functions": {}}, {**manifest, "functions": {"other": {}}}):
        (outputs / MANIFEST).write_text(json.dumps(value))
        with pytest.raises(RecordInconsistent, match="manifest"):
            compare(outputs, institution)
