"""Checkpoints that enough witnesses cosigned: what evidence rests on, and the clock of times to answer.

A row for every time that witnesses gave cosignatures, the older ones first. Rows are pruned by age: a clock that lost
its beginning begins later, which is never to the harm of whoever has to answer.
"""

from collections.abc import Sequence

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from atomic_margin.service.log.checkpoints import Checkpoint, WitnessPolicy, believe
from atomic_margin.service.log.errors import TooFewWitnesses
from atomic_margin.service.log.evidence import make_evidence
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.tables import CosignedRow
from atomic_margin.service.protocol.evidence import Evidence


def keep(session: Session, checkpoint: Checkpoint, key: NoteKey, policy: WitnessPolicy) -> None:
    """Store a checkpoint if as many witnesses cosigned it as are wanted."""
    try:
        believed = believe(checkpoint, key, policy, 0)
    except TooFewWitnesses:
        return
    row = CosignedRow(
        size=checkpoint.head.size, note=str(checkpoint), seen_at=believed.seen_at, newest_at=believed.newest_at
    )
    session.add(row)


def prune(session: Session, kept: int, seconds: int) -> None:
    """Remove rows that are older, by the witnesses, than the newest one by ``seconds``, but for the ``kept`` newest."""
    seen, last = session.execute(select(func.max(CosignedRow.newest_at), func.max(CosignedRow.id))).one()
    # Those that no witness saw are no clock.
    aged = or_(CosignedRow.newest_at.is_(None), CosignedRow.newest_at < (seen or 0) - seconds)
    session.execute(delete(CosignedRow).where(CosignedRow.id <= (last or 0) - kept, aged))


def newest(session: Session) -> CosignedRow | None:
    """Return the newest checkpoint with enough cosignatures."""
    return session.scalar(select(CosignedRow).order_by(CosignedRow.id.desc()).limit(1))


def first_with(session: Session, leaf: int) -> CosignedRow | None:
    """Return the first checkpoint that holds a leaf and that enough witnesses saw."""
    query = select(CosignedRow).where(CosignedRow.size > leaf, CosignedRow.seen_at.is_not(None))
    return session.scalar(query.order_by(CosignedRow.id).limit(1))


def has_before(session: Session, row: CosignedRow) -> bool:
    """Return whether an older checkpoint than a row is stored: rows are removed from the oldest on."""
    return session.scalar(select(CosignedRow.id).where(CosignedRow.id < row.id).limit(1)) is not None


def first_seen(session: Session, after: CosignedRow, moment: int) -> CosignedRow | None:
    """Return the first row from ``after`` on that enough witnesses saw at a moment or later."""
    query = select(CosignedRow).where(CosignedRow.id >= after.id, CosignedRow.newest_at >= moment)
    return session.scalar(query.order_by(CosignedRow.id).limit(1))


def evidence(session: Session, leaves: Sequence[int]) -> Evidence | None:
    """Return what shows that leaves are in the log, by the newest checkpoint with enough cosignatures.

    None while it does not hold all of them.
    """
    row = newest(session)
    return None if row is None or max(leaves) >= row.size else evidence_in(session, row, leaves)


def evidence_in(session: Session, row: CosignedRow, leaves: Sequence[int]) -> Evidence:
    """Return what shows that leaves are in the log, by a checkpoint that holds them."""
    return make_evidence(row.note, row.size, leaves, log.reader(session))
