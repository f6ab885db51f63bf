"""Netting in the account machine: what is promised, and what a cycle makes of it. Pure.

- A return leaves free collateral at once, under the rule of a withdrawal. A delivery counts nowhere before it arrived:
  not for a run, not for a release, not for a withdrawal.
- A cycle has every line that the account promised for its day or before, each once; nothing for that day is promised
  afterwards.
- What an account gets does not depend on others: its deliveries that arrived become free in full. Netting changes only
  what crosses the border to the world outside.
- Within one legal party all lines of a group are shown, and sum to what the group says.
"""

from atomic_margin.service.protocol.account.errors import IllegalEvent, OutOfSequence, WrongNetting
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.holdings import moved, require_may_leave
from atomic_margin.service.protocol.account.netting_documents import (
    MAX_PENDING,
    Group,
    Line,
    Netting,
    Obligation,
    PartyNaming,
    ShownGroup,
)
from atomic_margin.service.protocol.account.state import Account, NettingState, Pending
from atomic_margin.service.protocol.account.values import At, body_of, made, require_next, updated


def party_named(state: Account, event: Event, at: At) -> Account:
    """Say whose the account is; not while something promised under another name is pending."""
    body, before = body_of(event, PartyNaming), state.private.netting
    require_next(body.number, 0 if before is None else before.namings, "naming")
    _require_head(body.entry, at)
    if before is None:
        named = made(NettingState, namings=body.number, party=body.party, scope=body.scope)
    elif before.pending:
        raise WrongNetting("obligations of the account are pending; name its party after their cycle", "party")
    else:
        named = updated(before, namings=body.number, party=body.party, scope=body.scope)
    return _with_netting(state, named)


def promised(state: Account, event: Event, at: At) -> Account:
    """Keep an obligation until its cycle; what is to leave is deducted from free collateral at once."""
    body, before = body_of(event, Obligation), _netting(state)
    require_next(body.sequence, before.obligations, "obligation")
    _require_own(body.party, body.scope, before)
    if before.settled is not None and body.settles <= before.settled:
        raise WrongNetting(f"the cycle of {before.settled} is over; settle on a later day", "settles")
    if len(before.pending) >= MAX_PENDING:
        raise WrongNetting(f"{MAX_PENDING} obligations are pending already; wait for their cycle", "sequence")
    if body.direction == "return":
        require_may_leave(state, at, "promise a return")
        state = moved(state, [(body.asset, body.quantity, "free", None)])
    line = made(
        Pending,
        sequence=body.sequence,
        obligation=event.document,
        direction=body.direction,
        asset=body.asset,
        quantity=body.quantity,
        settles=body.settles,
    )
    return _with_netting(state, updated(before, obligations=body.sequence, pending=(*before.pending, line)))


def netted(state: Account, event: Event, at: At) -> Account:
    """Clear what a cycle netted; what arrived is free."""
    body, before = body_of(event, Netting), _netting(state)
    _require_head(body.entry, at)
    if body.cycle <= before.cycle:
        raise OutOfSequence(f"the account was in cycle {before.cycle} already, this is {body.cycle}", "cycle")
    if body.netted_at[:10] < body.settles:
        raise WrongNetting("the cycle's day has not come, and a delivery may still arrive", "settles")
    due = tuple(line for line in before.pending if line.settles <= body.settles)
    lines = [shown.line for shown in body.lines]
    if not due or [_promise(line) for line in lines] != list(due):
        raise WrongNetting("the lines are not those that the account promised until that day, each once", "lines")
    for line in lines:
        if line.institution != state.public.institution:
            raise WrongNetting("a line is of another account", "lines")
        _require_own(line.party, line.scope, before)
        if line.direction == "return" and not line.arrived:
            raise WrongNetting("a return is never undone: it was deducted already", "lines")
    _check_groups(body, lines)
    arrived: list[tuple[str, int, str | None, str | None]] = [
        (line.asset, line.quantity, None, "free") for line in lines if line.direction == "delivery" and line.arrived
    ]
    left = tuple(line for line in before.pending if line.settles > body.settles)
    after = moved(state, arrived) if arrived else state
    return _with_netting(after, updated(before, pending=left, cycle=body.cycle, settled=body.settles))


def pending_returns(state: Account) -> dict[str, int]:
    """Return what left free collateral, and is not netted yet."""
    found: dict[str, int] = {}
    for line in () if state.private.netting is None else state.private.netting.pending:
        if line.direction == "return":
            found[line.asset] = found.get(line.asset, 0) + line.quantity
    return found


def group_key(line: Line, operator: str) -> tuple[str, str, str, str]:
    """Return what lines are netted by: party or principal, asset and day."""
    return (line.scope, line.party if line.scope == "party" else operator, line.asset, line.settles)


def check_shown(body: Netting) -> None:
    """Make sure that what an account is shown fits itself, for whoever has no account to apply it to.

    Raises:
        WrongNetting: a line is another account's or twice, a return is undone, or groups are not what lines say.
    """
    lines = [shown.line for shown in body.lines]
    if len({line.sequence for line in lines}) != len(lines):
        raise WrongNetting("a line is there twice", "lines")
    if any(line.institution != body.institution for line in lines):
        raise WrongNetting("a line is of another account", "lines")
    if any(line.direction == "return" and not line.arrived for line in lines):
        raise WrongNetting("a return is never undone: it was deducted already", "lines")
    _check_groups(body, lines)


def _check_groups(body: Netting, lines: list[Line]) -> None:
    keys = [_key(shown.group) for shown in body.groups]
    if keys != sorted({group_key(line, body.operator) for line in lines}):
        raise WrongNetting("the groups are not those of the account's lines", "groups")
    for shown in body.groups:
        own = [line for line in lines if group_key(line, body.operator) == _key(shown.group)]
        if shown.group.scope == "party":
            _check_whole(body, shown, own)
        elif shown.lines:
            raise WrongNetting("lines of other parties are shown to nobody", "groups")
        elif sum(line.quantity for line in own if line.direction == "return") > shown.group.returns:
            raise WrongNetting("the account's own returns are more than the group's", "groups")
        elif (
            sum(line.quantity for line in own if line.direction == "delivery" and line.arrived) > shown.group.deliveries
        ):
            raise WrongNetting("the account's own deliveries are more than the group's", "groups")


def _check_whole(body: Netting, shown: ShownGroup, own: list[Line]) -> None:
    """Make sure that the lines of a group within one party are all of it, each once."""
    group, lines = shown.group, [item.line for item in shown.lines]
    if any(group_key(line, body.operator) != _key(group) for line in lines):
        raise WrongNetting("a line of another party, asset or day is netted here", "groups")
    if len({(line.institution, line.sequence) for line in lines}) != len(lines):
        raise WrongNetting("a line is there twice", "groups")
    if [line for line in lines if line.institution == body.institution] != own:
        raise WrongNetting("the group has other lines of this account than the account", "groups")
    if sums(lines) != (group.deliveries, group.returns, group.undone) or group.lines != len(lines):
        raise WrongNetting("the lines of the group do not sum to what it says", "groups")


def sums(lines: list[Line]) -> tuple[int, int, int]:
    """Return deliveries that arrived, returns, and deliveries that are undone."""
    deliveries = sum(line.quantity for line in lines if line.direction == "delivery" and line.arrived)
    returns = sum(line.quantity for line in lines if line.direction == "return")
    return deliveries, returns, sum(line.quantity for line in lines) - deliveries - returns


def _key(group: Group) -> tuple[str, str, str, str]:
    return (group.scope, group.party, group.asset, group.settles)


def _promise(line: Line) -> Pending:
    return made(Pending, **{name: getattr(line, name) for name in Pending.model_fields})


def _netting(state: Account) -> NettingState:
    if state.private.netting is None:
        raise WrongNetting("the operator has named no legal party for this account; ask it to", "party")
    return state.private.netting


def _require_own(party: str, scope: str, before: NettingState) -> None:
    if (party, scope) != (before.party, before.scope):
        raise WrongNetting(f"the account is of party {before.party}, netted by {before.scope}", "party")


def _require_head(entry: str, at: At) -> None:
    if entry != at.head:
        raise IllegalEvent("it was made for another moment: it names another entry than the last one", "entry")


def _with_netting(state: Account, netting: NettingState) -> Account:
    return updated(state, private=updated(state.private, netting=netting))
