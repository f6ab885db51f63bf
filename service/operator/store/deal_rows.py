"""Rows and blobs of deals, for whoever removes them: the deals that come, and retention."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from atomic_margin.service.operator.store.custody_tables import DealingRow, DealtRow


def blobs_of(session: Session, deal: str) -> set[str]:
    """Return the blobs that a deal names."""
    coefficients = set(session.scalars(select(DealingRow.coefficients).where(DealingRow.deal == deal)))
    return coefficients | set(session.scalars(select(DealtRow.box).where(DealtRow.deal == deal)))


def forget(session: Session, deal: str) -> set[str]:
    """Remove the rows of a deal; return the blobs that no row names any more, to be removed once it is committed."""
    named = blobs_of(session, deal)
    session.execute(delete(DealtRow).where(DealtRow.deal == deal))
    session.execute(delete(DealingRow).where(DealingRow.deal == deal))
    still = set(session.scalars(select(DealingRow.coefficients).where(DealingRow.coefficients.in_(named))))
    return named - still - set(session.scalars(select(DealtRow.box).where(DealtRow.box.in_(named))))
