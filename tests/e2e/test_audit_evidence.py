"""What an audit refuses to begin with: a run, bytes, a record, an anchor or terms that are missing or do not hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, text

from atomic_margin.service.audit.evidence import Evidence
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.files import read_json
from atomic_margin.service.operator.store.tables import AttestationRow, Run
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import Identity

from .audits import BREACHED, COVERED, LAST, NO_PLAN, SCHEDULED, call, evidence_of, restate, writing
from .harness import World

pytestmark = [pytest.mark.fhe, pytest.mark.long]


def break_blob(directory: Path, field: str, data: bytes | None, evidence: Evidence | None = None) -> None:
    record = (evidence or evidence_of(directory, COVERED)).record
    path = directory / "blobs" / str(getattr(record, field))
    path.unlink()
    if data is not None:
        path.write_bytes(data)


def break_chain(directory: Path) -> None:
    restate(directory, BREACHED, {"surplus": b"other", "breach": b"words"}, NO_PLAN)


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
    with writing(directory) as session:
        session.execute(text("ALTER TABLE runs RENAME COLUMN deadline TO until"))


@pytest.mark.parametrize(
    ("broken", "run_id", "said"),
    [
        (None, "nobody.1", "RunUnknown: there is no run 'nobody.1' here; the newest are: " + SCHEDULED),
        (None, SCHEDULED, f"RunNotEvaluated: run '{SCHEDULED}' is scheduled"),
        (lambda d: break_blob(d, "ciphertext", None), COVERED, "BytesMissing: the ciphertext"),
        (lambda d: break_blob(d, "evaluation_keys", None), COVERED, "BytesMissing: the file of evaluation keys"),
        (lambda d: break_blob(d, "evaluation_keys", b"other"), COVERED, "is damaged"),
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
        pytest.param(
            lambda d: (d / "operator.db").unlink(), COVERED, "StoreMissing: ",
            marks=pytest.mark.sqlite_only("its file is gone"),
        ),
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


def test_words_that_are_kept_no_longer_are_known_by_their_hashes(operator: Path) -> None:
    break_row(surplus_output=None, breach_output=None)(operator)
    found = evidence_of(operator, COVERED)
    (evaluation,) = found.evaluations
    assert (evaluation.words, evaluation.functions) == ({}, ("surplus", "breach"))
    assert evaluation.hashes == dict(found.signed.body["outputs"])


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
