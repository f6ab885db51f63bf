"""Deals that are stored: how far one is, who has a part in it, and when it is over."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import DealingOver, NotFound, Refused
from atomic_margin.service.operator.custody.policies import policy_named
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.custody_tables import DealingRow, DealtRow
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import JsonObject
from atomic_margin.service.protocol.custodian_messages import DealingStanding
from atomic_margin.service.protocol.dealings import (
    Dealing,
    ResealedShares,
    ShareComplaint,
    ShareReceipt,
    sharing_statement,
)
from atomic_margin.zk.sharing.messages import Deal


def require_open(session: Session, row: DealingRow) -> None:
    """Make sure that a deal takes receipts and complaints.

    Raises:
        DealingOver: it does not.
    """
    if row.expires_at <= instant_text(now()):
        raise DealingOver(f"the deal took receipts until {row.expires_at}; the institution deals anew", "deal")
    if has_too_many_complaints(session, row):
        raise DealingOver("more custodians complain than may be away; the institution deals anew", "deal")


def standing_of(session: Session, row: DealingRow) -> DealingStanding:
    """Return how far a deal is."""
    dealt = dealt_of(session, row)
    return DealingStanding(
        deal=row.deal,
        institution=row.institution,
        dealing=row.document,
        expires_at=row.expires_at,
        receipts=_there(one.receipt for one in dealt),
        complaints=_there(one.complaint for one in dealt),
        answers=_there(one.answer for one in dealt),
    )


def of_custodian(session: Session, identity: str, deal: str) -> tuple[DealingRow, DealtRow]:
    """Return a deal and what a custodian is dealt of it.

    Raises:
        NotFound: there is no such deal, or the custodian has no part in it.
    """
    row = session.get(DealingRow, deal)
    dealt = session.scalar(select(DealtRow).where(DealtRow.deal == deal, DealtRow.identity == identity))
    if row is None or dealt is None:
        raise NotFound("there is no such deal, or no share of it is yours", "deal")
    return row, dealt


def own(session: Session, institution: str, deal: str) -> DealingRow:
    """Return a deal of an institution's own.

    Raises:
        NotFound: it brought no such deal, or it is kept no longer.
    """
    row = session.get(DealingRow, deal)
    if row is None or row.institution != institution:
        raise NotFound("the operator has no such deal; bring it first, and submit before it is over", "deal")
    return row


def deal_of(session: Session, operator: Operator, row: DealingRow) -> Deal:
    """Return the whole of a deal that is stored."""
    dealing = Dealing.parse(row.document["body"])
    statement = sharing_statement(dealing, policy_named(session, row.institution, dealing.policy))
    return Deal.from_bytes(operator.blobs.get(row.coefficients), statement)


def require_about(
    document: ShareReceipt | ShareComplaint | ResealedShares, row: DealingRow, dealt: DealtRow, more: dict[str, str]
) -> None:
    """Make sure that a document is about what one custodian is dealt, and says `more` besides.

    Raises:
        Refused: it is about something else.
    """
    wanted = {
        "institution": row.institution,
        "operator": row.document["body"]["operator"],
        "dealing": row.sha256,
        "deal": row.deal,
        "point": dealt.point,
        **more,
    }
    for name, value in wanted.items():
        if getattr(document, name) != value:
            raise Refused(f"it is about another {name} than this deal's", name)


def dealt_of(session: Session, row: DealingRow) -> list[DealtRow]:
    """Return what custodians are dealt, by ascending point."""
    return list(session.scalars(select(DealtRow).where(DealtRow.deal == row.deal).order_by(DealtRow.point)))


def has_too_many_complaints(session: Session, row: DealingRow) -> bool:
    """Return whether more custodians complain than may be away."""
    complaints = sum(one.complaint is not None for one in dealt_of(session, row))
    return complaints > policy_named(session, row.institution, str(row.document["body"]["policy"])).absent


def _there(documents: Iterable[JsonObject | None]) -> tuple[JsonObject, ...]:
    return tuple(document for document in documents if document is not None)
