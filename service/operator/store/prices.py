"""Receipted documents of sources, in the operator's database: each has a leaf of its own before that of its tick.

Row and leaf come in one transaction. The document itself is in its tick for good; rows stay for the newest `KEPT`
numbers, so that a source whose answer got lost is told its leaf once more.
"""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.tables import PriceRow
from atomic_margin.service.protocol.leaves import price_leaf
from atomic_margin.service.protocol.signing import SignedDocument

KEPT = 64
"""Numbers of ticks whose rows stay."""


def receipted(session: Session, sequence: int) -> Sequence[PriceRow]:
    """Return what was receipted for a tick, in the order of the log."""
    return session.scalars(select(PriceRow).where(PriceRow.sequence == sequence).order_by(PriceRow.leaf)).all()


def is_receipted(session: Session, sequence: int) -> bool:
    """Return whether anything was receipted for a tick."""
    return session.scalar(select(PriceRow.leaf).where(PriceRow.sequence == sequence).limit(1)) is not None


def find(session: Session, signed: SignedDocument) -> PriceRow | None:
    """Return the row of a document, whichever signature of its source it has."""
    same = (PriceRow.sha256 == signed.body_hash(), PriceRow.source == signed.signer)
    return session.scalar(select(PriceRow).where(*same))


def receipt(session: Session, signed: SignedDocument, received_at: str) -> PriceRow:
    """Append the leaf of a document of type `price` and store it."""
    leaf = price_leaf(signed, received_at)
    row = PriceRow(
        leaf=log.append(session, leaf.to_bytes()),
        sequence=leaf.sequence,
        source=leaf.source,
        sha256=leaf.price,
        document=signed.to_json(),
        received_at=received_at,
    )
    session.add(row)
    return row


def prune(session: Session, sequence: int) -> None:
    """Forget the rows of ticks that are `KEPT` numbers before one that was made, or more."""
    session.execute(delete(PriceRow).where(PriceRow.sequence <= sequence - KEPT))
