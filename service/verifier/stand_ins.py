"""What stands for the parts of a step that a released history keeps back. Pure.

Whatever an institution shows, or keeps back, must not accuse an operator that did nothing wrong. So a stand-in is the
least there can have been: where the machine allows a step with the genuine parts, it allows it with these.

- A document that is kept back is stood for together with the private part before it (`kept_back`), also where that part
  is shown: a genuine one and one that stands in do not fit.
- For the private part before a document that is shown stands just what the document takes from it (`least_private`).
- What neither says, the kinds of the entries before may (`impossible`): they are shown of every entry.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from atomic_margin.service.protocol.account.events import DepositRecord, Event, EventKind, Readers
from atomic_margin.service.protocol.account.halt_documents import Halt, Resume
from atomic_margin.service.protocol.account.machine import OF_INSTITUTION
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.netting_documents import (
    MAX_PENDING,
    Group,
    Line,
    Netting,
    Obligation,
    PartyNaming,
    Placed,
    ShownGroup,
    ShownLine,
)
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.state import NOTHING, NettingState, Pending, PrivateState, PublicState
from atomic_margin.service.protocol.account.values import At, made
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.documents import CollateralInstruction, Settlement

K = EventKind
OF_A_PARTY = frozenset({K.DELIVERY_PROMISED, K.RETURN_PROMISED, K.NETTED})
PROMISED = frozenset({K.DELIVERY_PROMISED, K.RETURN_PROMISED})
FREED = frozenset({K.DEPOSITED, K.NETTED, K.RELEASED, K.SUBSTITUTED, K.DEFAULT_CLOSED, K.FREE_MATURED})
"""What may leave something free. Each moves at least one smallest unit, or there is no entry of it."""
TAKES = frozenset({K.WITHDRAWN, K.POSTED, K.RETURN_PROMISED, K.FREE_MATURED})
"""What takes something of it."""
TAKES_ALL = frozenset({K.LIQUIDATED, K.COLLATERAL_SEGREGATED})
BEGUN = frozenset({K.DEPOSITED, K.PARTY_NAMED})
"""What leaves a trace in the private part, or moves on to one in the public part: an account that had it is not new."""
COUNTED = PROMISED | {K.PARTY_NAMED, K.HALTED, K.RESUMED}
"""What `least_private` counts the kinds of the entries before for."""

_NONE, _FIRST_DAY, _LAST_DAY = "none", "0001-01-01", "9999-12-31"
_PARTY: Mapping[str, Any] = {"party": _NONE, "scope": "party"}
_A_PARTY = made(NettingState, namings=1, **_PARTY)
_A_PROMISE: Mapping[str, Any] = {
    "sequence": 1, "obligation": NOTHING, "direction": "delivery", "asset": _NONE, "quantity": 0, "settles": _FIRST_DAY,
}  # fmt: skip


def kept_back(kind: EventKind, before: PublicState, after: PublicState, at: At) -> tuple[Event, PrivateState]:
    """Return the event that stands for one whose document is kept back, and a private part that it fits.

    It moves nothing. Whatever the machine asks of the public part, of ticks and of its signer is asked of it as well.

    Args:
        kind: in `released.KEPT_BACK`.
        before: the public part before it.
        after: and after it.
        at: where it stands.
    """
    party: dict[str, Any] = {"institution": before.institution, "operator": before.operator}
    netting: NettingState | None = None
    body: Body
    if kind is K.DEPOSITED:
        body = DepositRecord.model_construct(**party, asset=_NONE, quantity=0)
    elif kind is K.WITHDRAWN:
        said: dict[str, Any] = {"sequence": after.instructions, "action": "withdraw", "asset": _NONE, "quantity": 0}
        body = CollateralInstruction.model_construct(**party, **said)
    elif kind is K.READERS_NAMED:
        body = Readers.model_construct(**party, sequence=after.readers, readers=())
    elif kind is K.PARTY_NAMED:
        body = PartyNaming.model_construct(**party, **_PARTY, number=1, entry=at.head)
    elif kind in PROMISED:
        netting = _A_PARTY
        direction = "delivery" if kind is K.DELIVERY_PROMISED else "return"
        promise: dict[str, Any] = dict(_A_PROMISE) | {"direction": direction, "settles": _LAST_DAY}
        body = Obligation.model_construct(**party, **_PARTY, **promise)
    elif kind is K.NETTED:
        netting = made(NettingState, namings=1, **_PARTY, obligations=1, pending=(made(Pending, **_A_PROMISE),))
        body = _cycle_of_nothing(party, at)
    elif kind is K.FREE_MATURED:
        said = {"pool": "free", "asset": _NONE, "quantity": 0, "cash": _NONE, "paid": 0}
        body = Maturity.model_construct(**party, **said, entry=at.head, price_sequence=at.market, tick=at.market_hash)
    else:
        raise TypeError(f"the document of '{kind}' is not kept back")
    signer = before.identity if kind in OF_INSTITUTION else before.operator
    return Event(kind, NOTHING, signer, body), PrivateState.model_construct(free={}, netting=netting)


def _cycle_of_nothing(party: Mapping[str, Any], at: At) -> Netting:
    """Return a cycle of one delivery that did not arrive."""
    place = made(Placed, index=0, path=())
    named = {"institution": party["institution"], **_PARTY}
    line = Line.model_construct(salt=NOTHING, **named, **_A_PROMISE, arrived=False)
    shown = made(ShownLine, line=line, place=place)
    sums: dict[str, Any] = dict.fromkeys(("deliveries", "returns", "undone", "arrives", "leaves"), 0)
    group = Group.model_construct(salt=NOTHING, **_PARTY, asset=_NONE, settles=_FIRST_DAY, **sums, lines=1)
    return Netting.model_construct(
        **party,
        cycle=1,
        settles=_FIRST_DAY,
        entry=at.head,
        lines=(shown,),
        groups=(made(ShownGroup, group=group, place=place, lines=(shown,)),),
        netted_at=f"{_FIRST_DAY}T00:00:00Z",
    )


def least_private(body: Body, earlier: Sequence[EventKind]) -> PrivateState:
    """Return the least private part that a document can have come to.

    Args:
        body: what the document says.
        earlier: kinds of the entries before.
    """
    free: dict[str, int] = {}
    netting: NettingState | None = None
    if isinstance(body, CollateralInstruction | Maturity):
        free[body.asset] = body.quantity
    elif isinstance(body, Release):
        free |= body.given or {}
    elif isinstance(body, Settlement):
        for move in body.transfers:
            if move.source == "free":
                free[move.asset] = free.get(move.asset, 0) + move.quantity
    elif isinstance(body, PartyNaming | Obligation):
        netting = _numbered(body, earlier)
        if isinstance(body, Obligation) and body.direction == "return":
            free[body.asset] = body.quantity
    elif isinstance(body, Netting) and body.lines:
        netting = _pending(body)
    elif isinstance(body, Halt | Resume) and not BEGUN.isdisjoint(earlier):
        netting = _A_PARTY
    return PrivateState.model_construct(free=free, netting=netting)


def _numbered(body: PartyNaming | Obligation, earlier: Sequence[EventKind]) -> NettingState | None:
    """Return what there is of netting by the entries before, all of the party that a document names."""
    namings = sum(kind is K.PARTY_NAMED for kind in earlier)
    if namings == 0:
        return None
    promised = sum(kind in PROMISED for kind in earlier)
    return made(NettingState, namings=namings, party=body.party, scope=body.scope, obligations=promised)


def _pending(body: Netting) -> NettingState:
    """Return what was pending at least before a cycle: its own lines."""
    lines = [shown.line for shown in body.lines]
    pending = tuple(made(Pending, **{name: getattr(line, name) for name in Pending.model_fields}) for line in lines)
    named = {"party": lines[0].party, "scope": lines[0].scope}
    return made(NettingState, namings=1, **named, pending=pending, cycle=max(body.cycle - 1, 0))


def impossible(kind: EventKind, earlier: Sequence[EventKind]) -> str | None:
    """Return why nothing of a kind can come after entries of these kinds, whatever is kept back; None if it can."""
    if kind in TAKES and not _may_be_free(earlier):
        return "nothing of the account can be free"
    if kind in OF_A_PARTY and K.PARTY_NAMED not in earlier:
        return "no legal party was named for the account"
    cycles = [number for number, one in enumerate(earlier) if one is K.NETTED]
    since = sum(one in PROMISED for one in earlier[cycles[-1] + 1 if cycles else 0 :])
    if kind is K.PARTY_NAMED and since:
        return "an obligation under the party that was named before is pending"
    if kind in PROMISED and since >= MAX_PENDING:
        return f"{since} obligations are pending, and {MAX_PENDING} may be"
    # Every cycle ends at least one.
    if kind is K.NETTED and sum(one in PROMISED for one in earlier) <= len(cycles):
        return "nothing that the account promised is pending"
    return None


def _may_be_free(earlier: Sequence[EventKind]) -> bool:
    """Return whether something came to free collateral since the account began, or since it was all taken."""
    for kind in reversed(earlier):
        if kind in FREED:
            return True
        if kind in TAKES_ALL:
            return False
    return False
