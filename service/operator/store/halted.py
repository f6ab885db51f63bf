"""What a halt stops of an account now, for everything at the operator that has to wait for its end."""

from sqlalchemy.orm import Session

from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.halt_documents import HaltScope
from atomic_margin.service.protocol.account.halts import scope_at


def stops(session: Session, account: Account, scope: HaltScope | None = None) -> bool:
    """Return whether a halt stops something of an account now; by default anything."""
    halted = scope_at(entries.state_of(account).public.halts, entries.newest(session).tick)
    return bool(halted) if scope is None else scope in halted
