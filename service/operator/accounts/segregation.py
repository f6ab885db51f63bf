"""Segregate what arrives for an institution in default: by a deposit, a delivery, a maturity.

It is free when it is booked, as for everybody. Nothing leaves an account in default, so there is time until something
depends on it: the next sale, or the close-out. Either takes it first, in its own unit of work.
"""

from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.default_documents import Segregation


def segregate(session: Session, operator: Operator, account: Account) -> None:
    """Segregate all that is free of an account in default, inside the caller's unit of work; nothing of any other."""
    state = entries.state_of(account)
    default, free = state.public.default, state.private.free
    if default is None or not free:
        return
    institution, number = account.institution, default.arrivals + 1
    body = {
        "institution": institution,
        "operator": operator.identity.public_key,
        "settlement": default.settlement,
        "number": str(number),
        "taken": {asset: str(quantity) for asset, quantity in free.items()},
        "segregated_at": now_text(),
    }
    entries.enter(session, operator.book, account, Segregation.parse(body).signed_by(operator.identity))
    source, pool = ledger.free(institution), ledger.liquidation(institution)
    moves = [ledger.Move(asset, quantity, source, pool) for asset, quantity in free.items()]
    ledger.book(session, f"segregation/{institution}/{default.settlement}/{number}", "segregation", moves)
