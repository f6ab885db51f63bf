"""What custodians say of the shares that they are dealt: they receipt them, or complain."""

from sqlalchemy import select

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.custody.policies import accounts_of
from atomic_margin.service.operator.custody.stored import (
    has_too_many_complaints,
    of_custodian,
    require_about,
    require_open,
    standing_of,
)
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.custody_tables import DealingRow, DealtRow
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custodian_messages import DealingsOfCustodian, DealingStanding
from atomic_margin.service.protocol.dealings import Dealing, ShareComplaint, ShareReceipt

LISTED = 64
"""Deals that a custodian is shown at once."""


def take_receipt(operator: Operator, identity: str, deal: str, document: object) -> DealingStanding:
    """Take a custodian's receipt. The same one again changes nothing.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with it.
        DealingOver: it comes too late.
    """
    signed, receipt = parse_signed(document, ShareReceipt)
    signed.verify(frozenset({identity}))
    with operator.store.unit_of_work() as session:
        row, dealt = of_custodian(session, identity, deal)
        dealing = Dealing.parse(row.document["body"])
        require_about(receipt, row, dealt, {"policy": dealing.policy, "book": dealing.book, "custodian": identity})
        if dealt.receipt is None:
            require_open(session, row)
            if dealt.complaint is not None and dealt.answer is None:
                raise Conflict("a complaint about these shares is not answered yet; wait for the answer", "state")
            dealt.receipt = signed.to_json()
            tell(session, "shares receipted", institution=row.institution, point=dealt.point)
        elif dealt.receipt["body"] != signed.body:
            raise Conflict("the custodian receipted these shares before, with another document", "state")
        return standing_of(session, row)


def take_complaint(operator: Operator, identity: str, deal: str, document: object) -> DealingStanding:
    """Take a custodian's complaint. The same one again changes nothing.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with it.
        DealingOver: it comes too late.
    """
    signed, complaint = parse_signed(document, ShareComplaint)
    signed.verify(frozenset({identity}))
    with operator.store.unit_of_work() as session:
        row, dealt = of_custodian(session, identity, deal)
        require_about(complaint, row, dealt, {"custodian": identity})
        if dealt.receipt is not None:
            raise Conflict("the custodian has receipted these shares; it cannot complain about them", "state")
        if dealt.complaint is None:
            require_open(session, row)
            dealt.complaint = signed.to_json()
            tell(session, "shares complained about", institution=row.institution, point=dealt.point)
        elif dealt.complaint["body"] != signed.body:
            raise Conflict("the custodian complained before, with another document", "state")
        return standing_of(session, row)


def unsaid(operator: Operator, identity: str) -> DealingsOfCustodian:
    """Return deals of whose shares a custodian has not said anything yet, or whose answer it has not receipted."""
    with operator.store.reading() as session:
        query = (
            select(DealingRow)
            .join(DealtRow, DealtRow.deal == DealingRow.deal)
            .where(DealtRow.identity == identity, DealtRow.receipt.is_(None))
            .where(DealtRow.complaint.is_(None) | DealtRow.answer.is_not(None))
            .where(DealingRow.institution.in_(accounts_of(session, identity)))
            .where(DealingRow.expires_at > instant_text(now()))
            .order_by(DealingRow.received_at, DealingRow.deal)
            .limit(LISTED)
        )
        rows = [row for row in session.scalars(query) if not has_too_many_complaints(session, row)]
        return DealingsOfCustodian(dealings=tuple(standing_of(session, row) for row in rows))
