"""States of accounts, runs and shortfalls; for runs and shortfalls also what each event makes of them. Pure.

Everybody takes the names from here. What an account is follows from its entries, by `protocol.account.machine`. Runs
and shortfalls are the operator's work, which it moves on through `operator.store.transitions`. The tables say all that
may happen. What is not in them is refused:

>>> RUNS.next_state(RunState.BREACH_VERIFIED, RunEvent.SETTLED, "run fund.7")
<RunState.SETTLED: 'settled'>
>>> RUNS.next_state(RunState.SETTLED, RunEvent.SETTLED, "it")
Traceback (most recent call last):
    ...
atomic_margin.service.request_errors.IllegalTransition: it is settled; the event 'settled' is not possible in that state
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from atomic_margin.service.errors import IllegalTransition


class _Name(str, Enum):
    def __str__(self) -> str:
        return str(self.value)


class AccountState(_Name):
    """What an institution's account may do."""

    ADMITTED = "admitted"
    """Known, without keys."""
    PENDING = "pending"
    """Keys uploaded, known answers not yet confirmed."""
    ACTIVE = "active"
    FROZEN = "frozen"
    """A book is owed: other books wait and nothing is withdrawn, until a valid proof or a settlement."""
    IN_DEFAULT = "in_default"
    """Liquidated: what it had is segregated, and sold in stages."""
    CLOSED = "closed"
    """Its default is closed out; what is left may be withdrawn."""


class RunState(_Name):
    """Life of a run: scheduled, evaluating, awaiting_answer, then one of the ends; unproven may still be answered.

    A run that was not evaluated ends as not_proven in place of unproven; then the second run of the tick is evaluated.
    One whose turn did not come before the next tick is superseded by that tick's. One whose book both sides gave up is
    given_up.
    """

    SCHEDULED = "scheduled"
    EVALUATING = "evaluating"
    FAILED = "failed"
    AWAITING_ANSWER = "awaiting_answer"
    UNPROVEN = "unproven"
    NOT_PROVEN = "not_proven"
    BREACH_VERIFIED = "breach_verified"
    COVERED = "covered"
    SETTLED = "settled"
    GIVEN_UP = "given_up"
    SUPERSEDED = "superseded"


class ShortfallState(_Name):
    """Life of the shortfall of a settled run: waiting, evaluating, then recorded or failed."""

    WAITING = "waiting"
    EVALUATING = "evaluating"
    RECORDED = "recorded"
    FAILED = "failed"


class RailState(_Name):
    """How far a rail is with one settlement."""

    PENDING = "pending"
    """Taken from the hook; nothing was sent yet."""
    SUBMITTED = "submitted"
    """Something was sent, and may be undone."""
    FINAL = "final"
    """It moved, and nothing undoes it."""


SUBMITTING = frozenset({AccountState.ACTIVE, AccountState.FROZEN})
"""Accounts that a submission is taken from; when frozen, another book waits."""
WATCHED = frozenset({AccountState.ACTIVE, AccountState.FROZEN})
"""Accounts that a tick schedules a run for. A frozen one is watched like an active one."""
ENDED = frozenset({AccountState.IN_DEFAULT, AccountState.CLOSED})
"""Accounts that take no book and no instruction to post any more."""
OPEN = frozenset({RunState.EVALUATING, RunState.AWAITING_ANSWER, RunState.BREACH_VERIFIED})
"""While a run of the account is in one of these, its next run waits."""
ANSWERABLE = frozenset({RunState.AWAITING_ANSWER, RunState.UNPROVEN})
"""Runs that take an answer, the account's newest alone."""
OVER = frozenset(
    {
        RunState.FAILED, RunState.UNPROVEN, RunState.NOT_PROVEN, RunState.COVERED, RunState.SETTLED,
        RunState.GIVEN_UP, RunState.SUPERSEDED,
    }
)  # fmt: skip
"""Runs that nothing more happens to unless somebody answers an unproven one."""


class RunEvent(_Name):
    """What happens to a run."""

    TAKEN = "taken"
    """Its turn came."""
    NEWER_TICK = "newer tick"
    """Another tick came before its turn."""
    COVERED_UNASKED = "covered unasked"
    """The institution proved its book covered at this tick, or a later one, without a run."""
    BOOK_GIVEN_UP = "book given up"
    """Both sides gave up the book that it is on, or would be."""
    ACCOUNT_IN_DEFAULT = "account in default"
    """Its turn came, and its account has nothing left to settle."""
    INTERRUPTED = "interrupted"
    """The process ended meanwhile; found at the next start, or when its claim ran out."""
    RETRIED = "retried"
    """It could not be evaluated, and is tried again."""
    FAILED = "failed"
    """It could not be evaluated, too often."""
    RECORDED = "recorded"
    """Its record is signed and chained."""
    ANSWER_OVERDUE = "answer overdue"
    """The deadline of an evaluated run passed."""
    PROOF_OVERDUE = "proof overdue"
    """The deadline of a run that was not evaluated passed."""
    COVERED = "covered"
    """An answer proved coverage."""
    BREACH_VERIFIED = "breach verified"
    """An answer proved a breach."""
    SETTLED = "settled"
    """The settlement of that breach is booked."""


class ShortfallEvent(_Name):
    """What happens to the shortfall of a settled run."""

    TAKEN = "taken"
    """Its turn came."""
    INTERRUPTED = "interrupted"
    """The process ended meanwhile; found at the next start, or when its claim ran out."""
    RETRIED = "retried"
    """It could not be evaluated, and is tried again."""
    FAILED = "failed"
    """It could not be evaluated, too often."""
    WANTED_AGAIN = "wanted again"
    """It was given up, and the operator wants it tried again."""
    RECORDED = "recorded"
    """Its record is signed, its words are stored."""


S = TypeVar("S", bound=_Name)
E = TypeVar("E", bound=_Name)


@dataclass(frozen=True)
class Transitions(Generic[S, E]):
    """The table of one kind of thing.

    Attributes:
        first: the state that it begins in.
        table: for each event, the states in which it may happen, and the state that follows. An event that changes
            nothing stands there with the same state on both sides.
    """

    first: S
    table: Mapping[E, Mapping[S, S]]

    def next_state(self, state: S, event: E, what: str) -> S:
        """Return the state that follows; `what` names the thing, for the error.

        Raises:
            IllegalTransition: the event is not possible in that state.
        """
        following = self.table[event].get(state)
        if following is None:
            raise IllegalTransition(f"{what} is {state}; the event '{event}' is not possible in that state", "state")
        return following

    def rows(self) -> Iterator[tuple[E, S, S]]:
        """Yield event, state and following state, in the order of the table."""
        for event, moves in self.table.items():
            for state, following in moves.items():
                yield event, state, following


_R, _S = RunState, ShortfallState

RUNS = Transitions(
    first=_R.SCHEDULED,
    table={
        RunEvent.TAKEN: {_R.SCHEDULED: _R.EVALUATING},
        RunEvent.NEWER_TICK: {_R.SCHEDULED: _R.SUPERSEDED},
        RunEvent.COVERED_UNASKED: {_R.SCHEDULED: _R.SUPERSEDED, _R.UNPROVEN: _R.UNPROVEN},
        RunEvent.BOOK_GIVEN_UP: {
            _R.SCHEDULED: _R.SUPERSEDED,
            _R.AWAITING_ANSWER: _R.GIVEN_UP,
            _R.UNPROVEN: _R.GIVEN_UP,
            _R.NOT_PROVEN: _R.GIVEN_UP,
        },
        RunEvent.ACCOUNT_IN_DEFAULT: {_R.SCHEDULED: _R.FAILED},
        RunEvent.INTERRUPTED: {_R.EVALUATING: _R.SCHEDULED},
        RunEvent.RETRIED: {_R.EVALUATING: _R.SCHEDULED},
        RunEvent.FAILED: {_R.EVALUATING: _R.FAILED},
        RunEvent.RECORDED: {_R.EVALUATING: _R.AWAITING_ANSWER},
        RunEvent.ANSWER_OVERDUE: {_R.AWAITING_ANSWER: _R.UNPROVEN},
        RunEvent.PROOF_OVERDUE: {_R.AWAITING_ANSWER: _R.NOT_PROVEN},
        RunEvent.COVERED: {_R.AWAITING_ANSWER: _R.COVERED, _R.UNPROVEN: _R.COVERED},
        RunEvent.BREACH_VERIFIED: {_R.AWAITING_ANSWER: _R.BREACH_VERIFIED, _R.UNPROVEN: _R.BREACH_VERIFIED},
        RunEvent.SETTLED: {_R.BREACH_VERIFIED: _R.SETTLED},
    },
)

SHORTFALLS = Transitions(
    first=_S.WAITING,
    table={
        ShortfallEvent.TAKEN: {_S.WAITING: _S.EVALUATING},
        ShortfallEvent.INTERRUPTED: {_S.EVALUATING: _S.WAITING},
        ShortfallEvent.RETRIED: {_S.EVALUATING: _S.WAITING},
        ShortfallEvent.FAILED: {_S.EVALUATING: _S.FAILED},
        ShortfallEvent.WANTED_AGAIN: {_S.FAILED: _S.WAITING},
        ShortfallEvent.RECORDED: {_S.EVALUATING: _S.RECORDED},
    },
)
