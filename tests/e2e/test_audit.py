"""Audits of runs that a real server stored: confirmed, refuted, undecided, and what is missing is named.

Runs and audits are evaluated under encryption, by workers of the real program.
"""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from atomic_margin.circuits.profile import SMALL, Profile
from atomic_margin.fhe import evaluator as evaluators
from atomic_margin.fhe.evaluator import Evaluator, IntArray
from atomic_margin.fhe.worker import Evaluation, KeyFile
from atomic_margin.service.audit.decrypt import compare
from atomic_margin.service.audit.errors import BytesMissing, RecordInconsistent, RunUnknown
from atomic_margin.service.audit.evidence import STEPS, Evidence, anchors, gather
from atomic_margin.service.audit.report import MANIFEST
from atomic_margin.service.audit.search import Verdict, overall, repeat
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.cli.main import app
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.files import read_json
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import AttestationRow, Run, ShortfallRow
from atomic_margin.service.protocol.documents import RunRecord, ShortfallRecord
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import RunState, ShortfallState

from .harness import World, copy_world

pytestmark = pytest.mark.fhe

COVERED, BREACHED, LAST, SCHEDULED = (f"{NAME}.{sequence}" for sequence in (1, 2, 3, 4))
NO_PLAN = "0" * 64


@pytest.fixture(scope="module")
def audited(enrolled: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A stopped world with four runs: covered, settled, unanswered, and not evaluated."""
    world = copy_world(enrolled, tmp_path_factory.mktemp("audited"))
    with world.both():
        world.wait_run(world.tick(1, 1))
        world.wait_run(world.tick(2, 2), (RunState.SETTLED,))
    with world.serving():
        world.wait_run(world.tick(1, 3), (RunState.AWAITING_ANSWER,))
        world.tick(1, 4)
        # A running server is no obstacle.
        assert evidence_of(world.root / "operator", COVERED).record.run_id == COVERED
    return world


@pytest.fixture
def operator(audited: World, tmp_path: Path) -> Path:
    """A private copy of the operator's directory."""
    return shutil.copytree(audited.root / "operator", tmp_path / "operator")


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

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    evaluator = Kept(SMALL)
    yield evaluator
    evaluator.end()


def evidence_of(directory: Path, run_id: str) -> Evidence:
    store = ReadOnlyStore(directory)
    try:
        return gather(store, run_id, anchors(directory, None))
    finally:
        store.close()


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def restate(directory: Path, run_id: str, words: dict[str, bytes], plan: str) -> None:
    """Store outputs of a run, and sign a record of them with the operator's own key, as a cheat could."""
    identity = Identity.load_or_create(directory / "operator.key")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in words.items()}
    with writing(directory) as session:
        run = session.get_one(Run, run_id)
        body = run.record["body"]
        if "shortfall" in words:
            record = ShortfallRecord(
                run=run.record_hash,
                operator=identity.public_key,
                ciphertext=body["ciphertext"],
                output=hashes["shortfall"],
                fft_plan=plan,
                evaluated_at=body["evaluated_at"],
            )
            # The server may have come to it already, or not.
            row = session.merge(ShortfallRow(run_id=run_id, state=ShortfallState.RECORDED))
            row.record, row.output = record.signed_by(identity).to_json(), words["shortfall"]
        else:
            signed = RunRecord.parse({**body, "outputs": hashes, "fft_plan": plan}).signed_by(identity)
            run.record, run.record_hash = signed.to_json(), signed.body_hash()
            run.surplus_output, run.breach_output = words["surplus"], words["breach"]


@contextmanager
def writing(directory: Path) -> Iterator[Session]:
    store = Store.in_directory(directory)
    try:
        with store.unit_of_work() as session:
            yield session
    finally:
        store.close()


def altered(words: bytes) -> bytes:
    return words[:-1] + bytes([words[-1] ^ 1])


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


def break_blob(directory: Path, field: str, data: bytes | None, evidence: Evidence | None = None) -> None:
    record = (evidence or evidence_of(directory, COVERED)).record
    path = directory / "blobs" / str(getattr(record, field))
    path.unlink()
    if data is not None:
        path.write_bytes(data)


def break_chain(directory: Path) -> None:
    restate(directory, BREACHED, evidence_of(directory, BREACHED).evaluations[0].words, NO_PLAN)


def break_row(**values: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        with writing(directory) as session:
            run = session.get_one(Run, COVERED)
            for name, value in values.items():
                setattr(run, name, value)

    return change


def break_signature(directory: Path) -> None:
    with writing(directory) as session:
        run = session.get_one(Run, COVERED)
        run.record = {**run.record, "body": {**run.record["body"], "deadline": "2030-01-01T00:00:00Z"}}


def sign_again(directory: Path, **changes: Any) -> None:
    """Have the operator sign another record of the last run; a field that is given as None is left out."""
    identity = Identity.load_or_create(directory / "operator.key")
    with writing(directory) as session:
        run = session.get_one(Run, LAST)
        body = {name: value for name, value in {**run.record["body"], **changes}.items() if value is not None}
        signed = RunRecord.parse(body).signed_by(identity)
        run.record, run.record_hash = signed.to_json(), signed.body_hash()


def break_database(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "operator.db")) as connection:
        connection.execute("ALTER TABLE runs RENAME COLUMN deadline TO until")


@pytest.mark.parametrize(
    ("broken", "run_id", "said"),
    [
        (None, "nobody.1", "RunUnknown: there is no run 'nobody.1' here; the newest are: " + SCHEDULED),
        (None, SCHEDULED, f"RunNotEvaluated: run '{SCHEDULED}' is scheduled"),
        (lambda d: break_blob(d, "ciphertext", None), COVERED, "BytesMissing: the ciphertext"),
        (lambda d: break_blob(d, "evaluation_keys", None), COVERED, "BytesMissing: the file of evaluation keys"),
        (lambda d: break_blob(d, "evaluation_keys", b"other"), COVERED, "is damaged"),
        (break_row(breach_output=None), COVERED, "BytesMissing: the breach output"),
        (break_row(breach_output=b"other"), COVERED, "RecordInconsistent: the run record does not hold: the breach"),
        (break_row(record_hash="0" * 64), COVERED, "RecordInconsistent: the run record does not hold: the stored hash"),
        (break_signature, COVERED, "SignatureInvalid: run: the signature does not match"),
        (break_chain, BREACHED, "RecordInconsistent: the run record does not hold: record 3 does not follow it"),
        (break_chain, LAST, "RecordInconsistent: the run record does not hold: it does not follow record 2"),
        (lambda d: sign_again(d, posted={"USDC": "1"}), LAST, "MatricesMismatch: "),
        (lambda d: sign_again(d, tick="1" * 64), LAST, "it names another price tick than is stored"),
        (lambda d: sign_again(d, submission="1" * 64), LAST, "it names another submission than is stored"),
        (lambda d: sign_again(d, gross_limit="4000001"), LAST, "it has another gross_limit than its submission"),
        (lambda d: sign_again(d, outputs=None, fft_plan=None), LAST, "RunNotEvaluated: run 'larkfield.3' was to be"),
        (break_database, COVERED, "StoreMissing: the database cannot be read"),
        (lambda d: (d / "operator.key").unlink(), COVERED, "AnchorMissing: "),
        (lambda d: (d / "operator.db").unlink(), COVERED, "StoreMissing: "),
    ],
)  # fmt: skip
def test_what_is_missing_or_does_not_hold_is_named(
    operator: Path, tmp_path: Path, broken: Callable[[Path], None] | None, run_id: str, said: str
) -> None:
    if broken is not None:
        broken(operator)
    result = call(run_id, "--dir", operator, "--json", tmp_path / "audit.json")
    assert result.exit_code == 2
    assert said in result.output
    assert read_json(tmp_path / "audit.json")["verdict"] == "error"


def test_a_trust_file_pins_operator_terms_prices_and_keys(audited: World, operator: Path, tmp_path: Path) -> None:
    (operator / "operator.key").unlink()
    trust = read_json(audited.trust)
    changes = [
        ({"operator": "1" * 64}, "SignatureInvalid"),
        ({"model": "1" * 64}, "another model than the trust file pins"),
        ({"institutions": {}}, "is not in the trust file"),
        ({"institutions": {NAME: trust["operator"]}}, "SignatureInvalid: submission"),
        ({"keys": {NAME: []}}, "pins no such keys"),
        ({"prices": {**trust["prices"], "required": "3"}}, "PricesRefused"),
    ]
    for change, said in changes:
        path = tmp_path / "trust.json"
        path.write_text(json.dumps({**trust, **change}))
        result = call(COVERED, "--dir", operator, "--trust", path)
        assert result.exit_code == 2
        assert said in result.output, result.output


def test_terms_come_from_a_bundle_or_from_files(audited: World, operator: Path) -> None:
    with writing(operator) as session:
        session.execute(delete(AttestationRow))
    result = call(COVERED, "--dir", operator)
    assert result.exit_code == 2
    assert "TermsMissing: " in result.output
    files = {"model": "model-scan.json", "universe": "universe.json", "schedule": "collateral-schedule.json"}
    options = [part for name, file in files.items() for part in (f"--{name}", audited.examples / file)]
    assert "give all three" in call(COVERED, "--dir", operator, *options[:4]).output
    # The next thing that is missing is the ciphertext: the terms were found.
    break_blob(operator, "ciphertext", None, evidence_of(audited.root / "operator", COVERED))
    found = call(COVERED, "--dir", operator, *options).output
    assert "(3) terms" in found
    assert "BytesMissing: the ciphertext" in found
    schedule = read_json(audited.examples / "collateral-schedule.json")
    other = operator / "schedule.json"
    other.write_text(json.dumps({**schedule, "assets": schedule["assets"][:-1]}))
    refused = call(COVERED, "--dir", operator, *options[:5], other).output
    assert "another schedule than is given here" in refused, refused
