"""Which run comes next. One function says it, and docs/operator.md in the same order."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.operator.store import halted
from atomic_margin.service.operator.store.tables import Account, Run
from atomic_margin.service.protocol.states import ENDED, OPEN, AccountState, RunState


class Waiting(NamedTuple):
    """A scheduled run whose account has no other in hand.

    Attributes:
        run_id: its name.
        institution: whose.
        second: whether it follows one that was not proven.
        price_sequence: number of its tick.
        retry_at: before then it is not tried again.
        state: of the account.
        last_run: number of the last tick that the account had a run for.
        covered: number of the newest tick at which its book was proven covered; 0 for none.
        halted: whether there was a halt, which may have ended.
        opening: whether custodians open the book of the account: until that is over it has no other run.
    """

    run_id: str
    institution: str
    second: bool
    price_sequence: int
    retry_at: str | None
    state: AccountState
    last_run: int
    covered: int
    halted: bool = False
    opening: bool = False


def rank(run: Waiting) -> tuple[bool, bool, int, int, int, str]:
    """Return what runs are sorted by; what comes first is evaluated first.

    1. Second runs: their institutions said nothing when they were asked to prove coverage.
    2. Accounts that owe, and among them those that were proven covered longest ago.
    3. Accounts that had a run longest ago, so that none is left behind when there are too few workers.
    4. Newer ticks.
    5. Names, so that the order is one.
    """
    owes = run.state is AccountState.FROZEN
    return not run.second, not owes, run.covered if owes else 0, run.last_run, -run.price_sequence, run.institution


class Due(NamedTuple):
    """What a look at scheduled runs finds: those of accounts in default, and those that are due, the next one first."""

    pointless: list[str]
    next: list[str]


def due(session: Session, at: datetime, wanted: Callable[[Waiting], bool]) -> Due:
    """Return the runs that are due and `wanted`, in their order, and those to be ended; nothing is written.

    Runs of one account keep their order: the later ones wait for the first, whoever takes it.
    """
    waiting = _waiting(session)
    pointless = [run.run_id for run in waiting if run.state in ENDED]
    first: dict[str, Waiting] = {}
    for run in waiting:
        if run.state not in ENDED:
            first.setdefault(run.institution, run)
    present = instant_text(at)
    ready = (
        run
        for run in first.values()
        if not run.opening and (run.retry_at is None or run.retry_at <= present) and wanted(run)
    )
    return Due(
        pointless, [run.run_id for run in sorted(ready, key=rank) if not (run.halted and _stopped(session, run))]
    )


def _stopped(session: Session, run: Waiting) -> bool:
    return halted.stops(session, session.get_one(Account, run.institution), "runs")


def is_free(session: Session, run: Run) -> bool:
    """Return whether a run that was due a moment ago still waits, and its account has no other in hand."""
    if run.state is not RunState.SCHEDULED or session.get_one(Account, run.institution).state in ENDED:
        return False
    busy = select(Run.run_id).where(Run.institution == run.institution, Run.state.in_(OPEN))
    return session.scalar(busy.limit(1)) is None


def _waiting(session: Session) -> list[Waiting]:
    """Return scheduled runs in the order of their ticks; a few columns of each."""
    busy = select(Run.institution).where(Run.state.in_(OPEN))
    paths = (("last_run",), ("book", "covered"), ("halts", "halt"), ("custody", "opening", "request"))
    of_state = (Account.public_state[path].as_string() for path in paths)
    query = (
        select(
            Run.run_id, Run.institution, Run.second, Run.price_sequence, Run.retry_at, Account.state, *of_state
        )
        .join(Account, Account.institution == Run.institution)
        .where(Run.state == RunState.SCHEDULED, Run.institution.not_in(busy))
        .order_by(Run.price_sequence, Run.institution)
    )  # fmt: skip
    return [
        Waiting(
            run_id,
            whose,
            second,
            sequence,
            retry_at,
            state,
            int(last_run or 0),
            int(covered or 0),
            bool(halt),
            bool(opening),
        )
        for run_id, whose, second, sequence, retry_at, state, last_run, covered, halt, opening in session.execute(query)
    ]
