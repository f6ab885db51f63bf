"""Collateral in the account machine: what is free, what is posted, and when free collateral may leave. Pure."""

from collections.abc import Mapping

from atomic_margin.service.errors import InsufficientFunds
from atomic_margin.service.protocol.account.agreements import require_eligible
from atomic_margin.service.protocol.account.breakers import require_priced
from atomic_margin.service.protocol.account.disputes import require_not_held
from atomic_margin.service.protocol.account.errors import NotCovered, RunNotOver
from atomic_margin.service.protocol.account.events import DepositRecord, Event
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import At, body_of, is_due, require_next, updated, with_public
from atomic_margin.service.protocol.documents import CollateralInstruction


def deposited(state: Account, event: Event, at: At) -> Account:
    """Add what arrived to free collateral."""
    body = body_of(event, DepositRecord)
    return moved(state, [(body.asset, body.quantity, None, "free")])


def posted(state: Account, event: Event, at: At) -> Account:
    """Move free collateral to the margin account."""
    body, run = _instruction(state, event), state.public.run
    if run is not None and run.stage != "unproven":
        # What a breach moves is counted from what the run counts: less free collateral could end in a liquidation.
        raise RunNotOver(f"run {run.run_id} is open; post after it is answered, and it counts in the next one", "state")
    require_eligible(state.public, [body.asset])
    after = moved(state, [(body.asset, body.quantity, "free", "posted")])
    return with_public(after, instructions=body.sequence)


def withdrawn(state: Account, event: Event, at: At) -> Account:
    """Let free collateral leave."""
    body = _instruction(state, event)
    require_may_leave(state, at, "withdraw")
    after = moved(state, [(body.asset, body.quantity, "free", None)])
    return with_public(after, instructions=body.sequence)


def require_may_leave(state: Account, at: At, act: str) -> None:
    """Make sure that collateral may leave an account: nothing is open, due or waiting, and the book is proven covered.

    Args:
        state: of the account.
        at: where the event stands.
        act: what is done, for the message.

    Raises:
        AccountHeld, RunNotOver, NotCovered: it may not.
    """
    public = state.public
    require_not_held(public, act)
    if public.run is not None or is_due(state, at):
        raise RunNotOver(f"a run of the account is open or due; {act} after it is answered", "state")
    if public.waiting is not None:
        raise NotCovered(f"a book waits; {act} after it came in force and was proven covered", "state")
    if public.given_up is not None:
        raise NotCovered(f"a book was given up; {act} after another one was proven covered", "state")
    if public.book is not None and public.book.covered is None:
        raise NotCovered(f"the book was not proven covered since it came; {act} after its first run", "state")
    if public.book is not None and public.book.void is not None:
        raise NotCovered(
            f"the run of tick {public.book.void} was void, or custodians opened it; {act} after the next proof", "state"
        )
    require_priced(state, at, act)


def _instruction(state: Account, event: Event) -> CollateralInstruction:
    body = body_of(event, CollateralInstruction)
    require_next(body.sequence, state.public.instructions, "instruction")
    return body


def moved(state: Account, moves: list[tuple[str, int, str | None, str | None]]) -> Account:
    """Move quantities of assets between free, posted, and the world outside (None)."""
    held = {"free": dict(state.private.free), "posted": dict(state.public.posted)}
    for asset, quantity, source, target in moves:
        if source is not None:
            left = held[source].get(asset, 0) - quantity
            if left < 0:
                raise InsufficientFunds(f"the account has {-left} units of {source} {asset} less than that", "quantity")
            held[source][asset] = left
        if target is not None:
            held[target][asset] = held[target].get(asset, 0) + quantity
    after = with_public(state, posted=_nonzero(held["posted"]))
    return updated(after, private=updated(after.private, free=_nonzero(held["free"])))


def _nonzero(balances: Mapping[str, int]) -> dict[str, int]:
    return {asset: quantity for asset, quantity in sorted(balances.items()) if quantity}
