"""Published bundles, stored without what is stored already and put together when somebody reads one.

A signed bundle is mostly documents that other rows have (its tick, submission, record, answer), or that a thousand
others have too (the terms, the enrolment, what its book's gain is counted from). The first are left out, the second are
kept once, by hash. What is read is what was signed, to the last byte of its canonical form.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import BlobDamaged
from atomic_margin.service.operator.store.tables import (
    AnswerRow,
    AttestationRow,
    BundlePart,
    Run,
    SettlementRow,
    SubmissionRow,
    Tick,
)
from atomic_margin.service.protocol.signing import SignedDocument

JsonObject = dict[str, Any]

MAX_PART_BYTES = 32 << 20
"""Of one part, unpacked: a universe of 4,096 columns has less than a tenth."""

SHARED = ("model", "universe", "schedule", "revisions", "last_market", "enrolment", "gain")
"""Fields of a bundle that many bundles have alike."""
SUBMITTED = "history.submitted"
"""And a part of its history: that of the book, which all runs on it have."""
TERMS = ("model", "universe", "schedule")


def _flag_words(session: Session, run: Run) -> str | None:
    return None if run.breach_output is None else run.breach_output.hex()


def _answer(session: Session, run: Run) -> JsonObject | None:
    return session.scalar(select(AnswerRow.document).where(AnswerRow.run_id == run.run_id))


def _settlement(session: Session, run: Run) -> JsonObject | None:
    return session.scalar(select(SettlementRow.document).where(SettlementRow.run_id == run.run_id))


def _tick(session: Session, run: Run) -> JsonObject | None:
    return session.scalar(select(Tick.document).where(Tick.sequence == run.price_sequence))


def _submission(session: Session, run: Run) -> JsonObject | None:
    return session.scalar(select(SubmissionRow.document).where(SubmissionRow.id == run.submission_id))


ROWS: Mapping[str, Callable[[Session, Run], Any]] = {
    "run": lambda _, run: run.record,
    "answer": _answer,
    "settlement": _settlement,
    "flag_words": _flag_words,
    "tick": _tick,
    "submission": _submission,
}
"""Fields of a bundle that rows have, which are kept as long as the bundle is."""


def save(session: Session, run: Run, signed: SignedDocument) -> None:
    """Store the bundle of a run, inside the caller's unit of work; its answer and settlement are stored by then."""
    session.flush()
    body = dict(signed.body)
    # One that would read back as something else is stored as it is.
    rows = [name for name, read in ROWS.items() if name in body and read(session, run) == body[name]]
    for name in rows:
        del body[name]
    parts = {name: _keep(session, body.pop(name)) for name in SHARED if name in body}
    history = dict(body.get("history", {}))
    if "submitted" in history:
        parts[SUBMITTED] = _keep(session, history.pop("submitted"))
        body["history"] = history
    document = {**signed.to_json(), "body": body, "rows": rows, "parts": parts}
    session.add(AttestationRow(run_id=run.run_id, document=document))


def load(session: Session, run_id: str) -> JsonObject | None:
    """Return the signed bundle of a run, None if none is published.

    Raises:
        BlobDamaged: a part of it is not there, or is another one.
    """
    row = session.get(AttestationRow, run_id)
    if row is None:
        return None
    if "parts" not in row.document:
        # Stored whole, by a version before there were parts.
        return row.document
    run = session.get_one(Run, run_id)
    stored = dict(row.document)
    rows, parts, body = stored.pop("rows"), stored.pop("parts"), dict(stored["body"])
    for name in rows:
        body[name] = ROWS[name](session, run)
    for name, sha256 in parts.items():
        if name == SUBMITTED:
            body["history"] = {**body["history"], "submitted": _part(session, sha256)}
        else:
            body[name] = _part(session, sha256)
    return {**stored, "body": body}


def published_terms(session: Session) -> Iterator[JsonObject]:
    """Yield model, universe and schedule of the bundles that are stored, each set once."""
    seen: set[tuple[str, ...]] = set()
    # Whoever found the terms they want reads no further.
    with session.execute(select(AttestationRow.document).execution_options(yield_per=1)) as rows:
        for (document,) in rows:
            if "parts" not in document:
                yield {name: document["body"][name] for name in TERMS}
                continue
            named = tuple(document["parts"][name] for name in TERMS)
            if named not in seen:
                seen.add(named)
                yield {name: _part(session, sha256) for name, sha256 in zip(TERMS, named, strict=True)}


def _keep(session: Session, value: Any) -> str:
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    if session.get(BundlePart, sha256) is None:
        session.add(BundlePart(sha256=sha256, data=zlib.compress(data, 9)))
        session.flush()
    return sha256


def _part(session: Session, sha256: str) -> Any:
    row = session.get(BundlePart, sha256)
    if row is None:
        raise BlobDamaged(f"part {sha256[:16]}… of a bundle is not stored; restore the database from a backup")
    unpacked = zlib.decompressobj()
    data = unpacked.decompress(row.data, MAX_PART_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BlobDamaged(f"part {sha256[:16]}… of a bundle is damaged; restore the database from a backup")
    return json.loads(data)
