"""Re-sharings that are stored: how far one is, who has a part in it, and what a new custodian is shown."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict, NotFound
from atomic_margin.service.operator.custody.stored import deal_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.custody_tables import (
    DealingRow,
    ResharingDealerRow,
    ResharingHolderRow,
    ResharingRow,
)
from atomic_margin.service.operator.store.tables import JsonObject
from atomic_margin.service.protocol.messages import Message
from atomic_margin.service.protocol.resharing_messages import (
    DealShown,
    PassedOnShown,
    PassedOnUpload,
    ResharingDeals,
    Resharings,
    ResharingStanding,
)
from atomic_margin.zk.sharing.messages import Deal

LISTED = 64
"""Re-sharings that are shown at once."""


def deal_before(session: Session, operator: Operator, institution: str, deal: str) -> Deal:
    """Return the deal that a book is shared by: the institution's own, or that of a re-sharing.

    Raises:
        Conflict: the operator does not have it any more.
    """
    row = session.get(DealingRow, deal)
    if row is not None and row.institution == institution:
        return deal_of(session, operator, row)
    query = select(ResharingRow).where(ResharingRow.new_deal == deal, ResharingRow.institution == institution)
    earlier = session.scalar(query.limit(1))
    if earlier is None or earlier.after is None:
        raise Conflict("the operator does not have the deal of the book: have the institution deal it anew", "state")
    return DealShown.parse(earlier.after).deal(deal)


def row_of(session: Session, request: str) -> ResharingRow:
    """Return a re-sharing.

    Raises:
        NotFound: there was none.
    """
    row = session.get(ResharingRow, request)
    if row is None:
        raise NotFound("there is no such re-sharing", "request")
    return row


def dealers_of(session: Session, row: ResharingRow) -> list[ResharingDealerRow]:
    """Return who passes on, by ascending point."""
    query = select(ResharingDealerRow).where(ResharingDealerRow.request == row.request)
    return list(session.scalars(query.order_by(ResharingDealerRow.point)))


def holders_of(session: Session, row: ResharingRow) -> list[ResharingHolderRow]:
    """Return who is to have new shares, by ascending point."""
    query = select(ResharingHolderRow).where(ResharingHolderRow.request == row.request)
    return list(session.scalars(query.order_by(ResharingHolderRow.point)))


def standing_of(session: Session, row: ResharingRow) -> ResharingStanding:
    """Return how far a re-sharing is."""
    holders = holders_of(session, row)
    late = row.stage == "open" and row.expires_at <= now_text()
    return ResharingStanding(
        institution=row.institution,
        request=row.document,
        state="over" if late else row.stage,
        expires_at=row.expires_at,
        passed_on=tuple(one.upload["passed_on"] for one in dealers_of(session, row) if one.upload is not None),
        receipts=tuple(one.receipt for one in holders if one.receipt is not None),
        complaints=tuple(one.complaint for one in holders if one.complaint is not None),
    )


def all_of(operator: Operator) -> Resharings:
    """Return re-sharings, over or not, the newest first."""
    with operator.store.reading() as session:
        query = select(ResharingRow).order_by(ResharingRow.asked_at.desc(), ResharingRow.request).limit(LISTED)
        return Resharings(resharings=tuple(standing_of(session, row) for row in session.scalars(query)))


def for_custodian(operator: Operator, identity: str) -> Resharings:
    """Return re-sharings in which something is left to do for a custodian: to pass on, or to receipt."""
    with operator.store.reading() as session:
        to_pass_on = select(ResharingDealerRow.request).where(
            ResharingDealerRow.identity == identity, ResharingDealerRow.upload.is_(None)
        )
        to_receipt = select(ResharingHolderRow.request).where(
            ResharingHolderRow.identity == identity, ResharingHolderRow.receipt.is_(None)
        )
        left = or_(
            ResharingRow.request.in_(to_pass_on) & (ResharingRow.stage == "open"),
            ResharingRow.request.in_(to_receipt) & ResharingRow.new_deal.is_not(None),
        )
        query = select(ResharingRow).where(
            left, ResharingRow.stage.in_(("open", "entered")), ResharingRow.expires_at > now_text()
        )
        rows = session.scalars(query.order_by(ResharingRow.asked_at, ResharingRow.request).limit(LISTED))
        return Resharings(resharings=tuple(standing_of(session, row) for row in rows))


def deals_for(operator: Operator, identity: str, request: str) -> ResharingDeals:
    """Return what a new custodian adds up.

    Raises:
        NotFound: there is no such re-sharing, or the custodian is to have no shares by it.
    """
    with operator.store.reading() as session:
        row = row_of(session, request)
        index = next((i for i, one in enumerate(holders_of(session, row)) if one.identity == identity), None)
        if index is None:
            raise NotFound("no share of this re-sharing is yours", "request")
        passed = []
        for dealer in dealers_of(session, row):
            if dealer.upload is not None:
                upload = PassedOnUpload.parse(dealer.upload)
                passed.append(
                    PassedOnShown(passed_on=upload.passed_on, coefficients=upload.coefficients, box=upload.boxes[index])
                )
        return ResharingDeals(before=DealShown.parse(row.before), passed_on=tuple(passed))


def as_json(message: Message) -> JsonObject:
    """Return a message as it is stored."""
    value = message.canonical()
    if not isinstance(value, dict):
        raise TypeError("a message is a JSON object")
    return dict(value)
