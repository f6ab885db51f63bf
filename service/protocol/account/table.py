"""Which event may happen in which status of an account, and the status that follows. The one table; docs draw it.

The rest of what an event needs is in `machine`. An event that changes no status stands here with the same one on both
sides. Before the first event there is no account.
"""

from collections.abc import Mapping

from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.protocol.account.events import EventKind as K
from atomic_margin.service.protocol.states import AccountState as S

_ALL = tuple(S)
_WATCHED = (S.ACTIVE, S.FROZEN)


def _stays(*statuses: S) -> dict[S | None, S]:
    return {status: status for status in statuses}


TABLE: Mapping[K, Mapping[S | None, S]] = {
    K.ADMITTED: {None: S.ADMITTED},
    K.UNIVERSE_REVISED: _stays(*_ALL),
    K.DEPOSITED: _stays(*_ALL),
    # An account stays watched under the keys of its book: new keys are no way out of a run.
    K.KEYS_ENROLLED: {S.ADMITTED: S.PENDING, **_stays(S.PENDING, *_WATCHED)},
    K.KEYS_CONFIRMED: {S.PENDING: S.ACTIVE, **_stays(*_WATCHED)},
    K.SUBMITTED: _stays(*_WATCHED),
    # Not while a book is owed: the next one would wait.
    K.LOSSES_SETTLED: _stays(S.ACTIVE),
    # More collateral helps whoever waits for it; taking some away does not.
    K.POSTED: _stays(S.ADMITTED, S.PENDING, *_WATCHED),
    K.WITHDRAWN: _stays(S.ADMITTED, S.ACTIVE, S.CLOSED),
    K.RUN_OPENED: _stays(*_WATCHED),
    K.RUN_RECORDED: _stays(*_WATCHED),
    K.RUN_VOID: _stays(*_WATCHED),
    K.PROOF_OVERDUE: _stays(*_WATCHED),
    K.ANSWER_OVERDUE: {S.ACTIVE: S.FROZEN, **_stays(S.FROZEN)},
    K.COVERED: {S.FROZEN: S.ACTIVE, **_stays(S.ACTIVE)},
    K.BREACH_PROVEN: _stays(*_WATCHED),
    K.MARGIN_CALLED: {S.FROZEN: S.ACTIVE, **_stays(S.ACTIVE)},
    K.LIQUIDATED: {S.ACTIVE: S.IN_DEFAULT, S.FROZEN: S.IN_DEFAULT},
    K.READERS_NAMED: _stays(*_ALL),
    K.COVERED_UNASKED: {S.FROZEN: S.ACTIVE, **_stays(S.ACTIVE)},
    K.BOOK_GIVEN_UP: {S.FROZEN: S.ACTIVE, **_stays(S.ACTIVE)},
    # A dispute changes nothing but what may leave; it can be about the very end of an account.
    K.DISPUTED: _stays(*_ALL),
    K.DISPUTE_RESOLVED: _stays(*_ALL),
    K.DISPUTE_WITHDRAWN: _stays(*_ALL),
    K.DISPUTE_LAPSED: _stays(*_ALL),
    K.PARTY_NAMED: _stays(*_ALL),
    K.DELIVERY_PROMISED: _stays(S.ADMITTED, S.PENDING, *_WATCHED),
    K.RETURN_PROMISED: _stays(S.ADMITTED, S.ACTIVE),
    # What was promised before is netted whatever became of the account.
    K.NETTED: _stays(*_ALL),
    K.COLLATERAL_SOLD: _stays(S.IN_DEFAULT),
    K.LOSS_AGREED: _stays(S.IN_DEFAULT),
    K.DEFAULT_CLOSED: {S.IN_DEFAULT: S.CLOSED},
    K.FUND_CONTRIBUTED: _stays(S.ADMITTED, S.PENDING, *_WATCHED),
    # Whoever is a member bears its line, in default itself or not.
    K.FUND_DRAWN: _stays(*_ALL),
    K.RELEASED: _stays(S.ADMITTED, S.ACTIVE),
    K.SUBSTITUTED: _stays(S.ADMITTED, S.ACTIVE),
    # Cash comes in whatever the account is.
    K.MATURED: _stays(*_ALL),
    K.FREE_MATURED: _stays(*_ALL),
    # Who is frozen has no credit to agree on.
    K.AGREEMENT_AMENDED: _stays(S.ADMITTED, S.PENDING, S.ACTIVE),
    K.HALTED: _stays(*_ALL),
    K.RESUMED: _stays(*_ALL),
    K.COLLATERAL_SEGREGATED: _stays(S.IN_DEFAULT),
    # Whoever has lost a key to somebody else does not wait.
    K.IDENTITY_ROTATED: _stays(*_ALL),
    # Of who is frozen: a book is owed, and its institution is silent.
    K.OPENING_REQUESTED: _stays(S.FROZEN),
    K.OPENING_LAPSED: _stays(S.FROZEN),
    K.OPENED_COVERED: {S.FROZEN: S.ACTIVE},
    K.OPENED_IN_BREACH: _stays(S.FROZEN),
    # Who is frozen keeps the custodians that may open its book.
    K.CUSTODY_AMENDED: _stays(S.ADMITTED, S.PENDING, S.ACTIVE),
    K.RESHARED: _stays(*_WATCHED),
}


def next_status(status: S | None, kind: K) -> S:
    """Return the status that follows.

    Raises:
        IllegalTransition: the event is not possible in that status.
    """
    following = TABLE[kind].get(status)
    if following is None:
        shown = "not admitted" if status is None else str(status)
        raise IllegalTransition(f"the account is {shown}; '{kind}' is not possible in that state", "state")
    return following
