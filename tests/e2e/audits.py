"""What the tests of audits share: the runs they look at, and how an operator's stored words and records are changed."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from atomic_margin.service.audit.evidence import Evidence, anchors, gather
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.cli.main import app
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import Run, ShortfallRow
from atomic_margin.service.protocol.documents import RunRecord, ShortfallRecord
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import ShortfallState

from .. import postgres

COVERED, BREACHED, LAST, SCHEDULED = (f"{NAME}.{sequence}" for sequence in (1, 2, 3, 4))
NO_PLAN = "0" * 64


def evidence_of(directory: Path, run_id: str) -> Evidence:
    store = ReadOnlyStore(directory, postgres.url_of(directory))
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
