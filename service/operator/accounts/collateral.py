"""Deposits by the operator, and the institution's own instructions: post free collateral, withdraw it."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.margin.collateral import check_accepted, check_holdings
from atomic_margin.service.errors import Conflict, MalformedRequest, Refused
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.tables import Account, Run
from atomic_margin.service.protocol.documents import CollateralInstruction, Receipt, parse_signed
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import UNFINISHED, WITHDRAWING, AccountState


def deposit(operator: Operator, institution: str, asset: str, quantity: int, reference: str) -> None:
    """Book collateral that arrived for an institution as free.

    Args:
        operator: whose ledger.
        institution: whose collateral.
        asset: of the collateral schedule.
        quantity: in the asset's smallest unit.
        reference: the custodian's reference; a second deposit under it is refused.

    Raises:
        NotFound: the institution is not admitted.
        MarginError: the schedule does not have the asset, or takes no more of it.
        Conflict: the reference is used already.
    """
    operator.account(institution)
    _require_quantity(operator, asset, quantity)
    check_accepted(operator.terms.schedule, asset)
    move = ledger.Move(asset, quantity, ledger.EXTERNAL, ledger.free(institution))
    with operator.store.unit_of_work() as session:
        ledger.book(session, f"deposit/{reference}", "deposit", [move])


def instruct(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Carry out a signed instruction of the institution on its own collateral; return a signed receipt.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError, MarginError: what is wrong; nothing has moved.
    """
    account = operator.account(institution)
    signed, instruction = parse_signed(document, CollateralInstruction)
    signed.verify(frozenset({account.identity}))
    if instruction.institution != institution:
        raise Refused(
            f"the instruction is of {instruction.institution!r}, the path says {institution!r}", "institution"
        )
    if instruction.operator != operator.identity.public_key:
        raise Refused("the instruction is addressed to another operator", "operator")
    _require_quantity(operator, instruction.asset, instruction.quantity)
    if instruction.action == "post":
        check_accepted(operator.terms.schedule, instruction.asset)
    target = ledger.posted(institution) if instruction.action == "post" else ledger.EXTERNAL
    move = ledger.Move(instruction.asset, instruction.quantity, ledger.free(institution), target)
    with operator.store.unit_of_work() as session:
        row = session.get_one(Account, institution)
        # More collateral helps whoever waits for it; taking some away does not.
        if instruction.action == "withdraw" and row.state not in WITHDRAWING:
            raise Conflict(f"the account is {row.state}; nothing can be withdrawn", "state")
        if instruction.action == "withdraw":
            _require_no_open_run(session, institution)
        if row.state is AccountState.IN_DEFAULT:
            raise Conflict(f"the account is {row.state}; it takes no instruction", "state")
        if instruction.sequence != row.instruction_sequence + 1:
            raise Conflict(
                f"the next instruction sequence number is {row.instruction_sequence + 1}, got {instruction.sequence}",
                "sequence",
            )
        row.instruction_sequence = instruction.sequence
        ledger.book(session, f"instruction/{institution}/{instruction.sequence}", instruction.action, [move])
    receipt = Receipt(
        document=signed.body_hash(),
        operator=operator.identity.public_key,
        result="booked",
        received_at=now_text(),
    )
    return receipt.signed_by(operator.identity)


def _require_no_open_run(session: Session, institution: str) -> None:
    # What is free when a run begins must still be there when its answer is settled.
    run_id = session.scalar(
        select(Run.run_id).where(Run.institution == institution, Run.state.in_(UNFINISHED)).limit(1)
    )
    if run_id is not None:
        raise Conflict(f"run {run_id} is not over; withdraw after it is answered", "state")


def _require_quantity(operator: Operator, asset: str, quantity: int) -> None:
    check_holdings(operator.terms.schedule, {asset: quantity})
    if not 0 < quantity < ledger.MAX_AMOUNT:
        raise MalformedRequest(f"a quantity is between 1 and {ledger.MAX_AMOUNT - 1} smallest units", "quantity")
