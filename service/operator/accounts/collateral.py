"""Deposits by the operator, and the institution's own instructions: post free collateral, withdraw it."""

from datetime import datetime

from atomic_margin.documents.fields import now_text
from atomic_margin.documents.strict import instant
from atomic_margin.margin.collateral import check_accepted, check_holdings
from atomic_margin.service.errors import Conflict, MalformedRequest
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import newest_market
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.events import DepositRecord
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import CollateralInstruction
from atomic_margin.service.protocol.signing import SignedDocument


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
    check_accepted(operator.terms.schedule, asset, prices_as_of(operator))
    move = ledger.Move(asset, quantity, ledger.EXTERNAL, ledger.free(institution))
    arrived = DepositRecord.parse(
        {
            "institution": institution,
            "operator": operator.identity.public_key,
            "asset": asset,
            "quantity": str(quantity),
            "reference": reference,
            "booked_at": now_text(),
        }
    )
    with operator.store.unit_of_work() as session:
        ledger.book(session, f"deposit/{reference}", "deposit", [move])
        account = session.get_one(Account, institution)
        entries.enter(session, operator.book, account, arrived.signed_by(operator.identity))


def instruct(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Carry out a signed instruction of the institution on its own collateral; return the signed entry.

    The same instruction again gets the same entry.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError, MarginError: what is wrong; nothing has moved.
    """
    account = operator.account(institution)
    signed, instruction = parse_signed(document, CollateralInstruction)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
    if earlier is not None:
        # Before anything that rests on the newest prices: what was taken stays taken.
        return SignedDocument.parse(earlier.entry)
    _require_quantity(operator, instruction.asset, instruction.quantity)
    held = 0
    if instruction.action == "post":
        check_accepted(operator.terms.schedule, instruction.asset, prices_as_of(operator))
        held = _posted(account, instruction.asset)
        operator.rail.require_backed(institution, instruction.asset, held + instruction.quantity, adding=True)
    target = ledger.posted(institution) if instruction.action == "post" else ledger.EXTERNAL
    move = ledger.Move(instruction.asset, instruction.quantity, ledger.free(institution), target)
    with operator.store.unit_of_work() as session:
        row = session.get_one(Account, institution)
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        entries.require_known(session, institution, instruction.entry)
        adding = instruction.action == "post" and operator.rail.holds(institution)
        if adding and _posted(row, instruction.asset) != held:
            # Two that come at once are not both backed by what one of them saw.
            raise Conflict("something else was posted meanwhile; send this again", "quantity")
        entry = entries.enter(session, operator.book, row, signed)
        ledger.book(session, f"instruction/{institution}/{instruction.sequence}", instruction.action, [move])
        return entry


def _posted(account: Account, asset: str) -> int:
    return entries.state_of(account).public.posted.get(asset, 0)


def _require_quantity(operator: Operator, asset: str, quantity: int) -> None:
    check_holdings(operator.terms.schedule, {asset: quantity})
    if not 0 < quantity < ledger.MAX_AMOUNT:
        raise MalformedRequest(f"a quantity is between 1 and {ledger.MAX_AMOUNT - 1} smallest units", "quantity")


def prices_as_of(operator: Operator) -> datetime | None:
    """Return the time of the newest prices; None before there are any."""
    with operator.store.reading() as session:
        tick = newest_market(session)
        return None if tick is None else instant(tick.document["body"]["market"]["as_of"])
