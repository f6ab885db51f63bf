"""Halts in the account machine: what stops while the operator's kill switch is on, and when it goes on. Pure.

- A halt is one document for all accounts, at one tick: an account that gets it later than at that tick is one that was
  admitted since, and has it before anything else.
- Its numbers have no gap, so that an account which was left out once finds it at the next one.
- It is over by itself after a number of ticks, which everybody counts who follows the account.
- No time to answer is over while anything is halted. Answers and proofs are taken all the time.
"""

from collections.abc import Mapping

from atomic_margin.service.protocol.account.errors import Halted, OutOfSequence, WrongHalt
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.halt_documents import Halt, HaltScope, Resume
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.account.state import Account, Halts, PrivateState
from atomic_margin.service.protocol.account.values import At, body_of, made, with_public

STOPPED: Mapping[EventKind, HaltScope] = {
    EventKind.MARGIN_CALLED: "settlements",
    EventKind.LIQUIDATED: "settlements",
    EventKind.COLLATERAL_SOLD: "settlements",
    EventKind.DEFAULT_CLOSED: "settlements",
    EventKind.FUND_DRAWN: "settlements",
    EventKind.WITHDRAWN: "leaving",
    EventKind.RELEASED: "leaving",
    EventKind.SUBSTITUTED: "leaving",
    EventKind.RETURN_PROMISED: "leaving",
    EventKind.NETTED: "leaving",
    EventKind.LOSSES_SETTLED: "leaving",
    EventKind.RUN_OPENED: "runs",
    EventKind.RUN_RECORDED: "runs",
}
"""What does not happen while its scope is halted. The record of a run that began before is taken."""
OVERDUE = frozenset({EventKind.ANSWER_OVERDUE, EventKind.PROOF_OVERDUE})
FOR_ALL = frozenset({EventKind.HALTED, EventKind.RESUMED})
"""What every account has, or none."""


def halted(state: Account, event: Event, at: At) -> Account:
    """Halt the account; one that is halted already from here on is under this halt."""
    body = body_of(event, Halt)
    _check_place(state, body, at)
    halts = made(Halts, number=body.number, halt=event.document, scope=tuple(body.scope), until=body.until)
    return with_public(state, halts=halts)


def resumed(state: Account, event: Event, at: At) -> Account:
    """End a halt."""
    body, before = body_of(event, Resume), state.public.halts
    _check_place(state, body, at)
    if before is not None and before.halt != body.halt:
        raise WrongHalt("it ends another halt than the account's", "halt")
    return with_public(state, halts=made(Halts, number=body.number))


def scope_at(halts: Halts | None, tick: int) -> tuple[HaltScope, ...]:
    """Return what is halted when a tick is the newest; nothing if no halt is in force."""
    if halts is None or halts.halt is None or halts.until is None or tick > halts.until:
        return ()
    return tuple(halts.scope)


def require_not_halted(state: Account, kind: EventKind, at: At) -> None:
    """Make sure that an event is not one that a halt stops.

    Raises:
        Halted: it is.
    """
    halts = state.public.halts
    scope = scope_at(halts, at.tick)
    if halts is None or not scope:
        return
    over = f"it is over after tick {halts.until}, if the operator does not resume before"
    if kind in OVERDUE:
        raise Halted(f"the operator has halted {', '.join(scope)}, and no time is over meanwhile; {over}", "state")
    run = state.public.run
    begun = kind is EventKind.RUN_RECORDED and run is not None and run.stage == "evaluating"
    if STOPPED.get(kind) in scope and not begun:
        raise Halted(f"the operator has halted {STOPPED[kind]}; {over}", "state")


def _check_place(state: Account, body: Halt | Resume, at: At) -> None:
    """Make sure that an account gets it when all others do, or is new."""
    halts = state.public.halts
    if halts is not None or not _is_new(state):
        last = 0 if halts is None else halts.number
        if body.number != last + 1:
            raise OutOfSequence(f"the next halt or resume has number {last + 1}, got {body.number}", "number")
        if (body.tick_sequence, body.tick) != (at.tick, at.tick_hash):
            raise WrongHalt("it was announced at another tick: every account has it at once", "tick")
    elif body.tick_sequence > at.tick:
        raise WrongHalt("it was announced at a later tick", "tick_sequence")


def _is_new(state: Account) -> bool:
    """Return whether nothing happened since the account was opened."""
    public = state.public
    fresh = {
        "key_sequence",
        "submissions",
        "instructions",
        "readers",
        "posted",
        "disputes",
        "fund",
        "default",
        "former",
    }
    amended = public.agreement is not None and public.agreement.sequence > 0
    touched = amended or len(public.universes) > 1 or state.private != PrivateState()
    return not touched and not any(getattr(public, name) for name in fresh)
