"""What staff are shown of accounts, runs, ledger and log: every query here has a limit, and takes no write lock.

For `pages`, which draws it, and for the lists of the API.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import NotFound
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import newest_tick
from atomic_margin.service.operator.store.tables import (
    Account,
    AttestationRow,
    LedgerPosting,
    Run,
    SettlementRow,
    Tick,
)
from atomic_margin.service.operator.web.alarms import Alarm, LogHead, alarms_of, head_of
from atomic_margin.service.protocol.messages import Held
from atomic_margin.service.protocol.overview_messages import AccountLine, AccountLines, RunLine, RunLines
from atomic_margin.service.protocol.states import AccountState, RunState

MOST_ACCOUNTS = 200
"""On a page."""
MOST_RUNS = 50
"""In a list."""
MOST_TICKS = 60
"""In a chart."""
MOST_LEDGER_LINES = 500
"""Balances on a page."""
_RUN_COLUMNS = (
    Run.run_id,
    Run.institution,
    Run.state,
    Run.price_sequence,
    Run.deadline,
    Run.seconds,
    Run.problem,
    SettlementRow.document,
    AttestationRow.run_id,
)


def accounts(operator: Operator, after: str = "", most: int = MOST_ACCOUNTS) -> AccountLines:
    """Return accounts by name, those after one."""
    with operator.store.reading() as session:
        return _accounts(session, after, min(most, MOST_ACCOUNTS))


def _accounts(session: Session, after: str, most: int) -> AccountLines:
    query = select(Account).where(Account.institution > after).order_by(Account.institution).limit(most + 1)
    rows = list(session.scalars(query))
    return AccountLines(accounts=_lines(session, rows[:most]), more=len(rows) > most)


def _lines(session: Session, rows: list[Account]) -> tuple[AccountLine, ...]:
    states = {row.institution: entries.state_of(row) for row in rows}
    open_runs = [state.public.run.run_id for state in states.values() if state.public.run is not None]
    query = select(Run.run_id, Run.deadline).where(Run.run_id.in_(open_runs))
    deadlines = {row[0]: row[1] for row in session.execute(query)}
    lines = []
    for row in rows:
        state = states[row.institution]
        run = state.public.run
        lines.append(
            AccountLine(
                institution=row.institution,
                name=row.name,
                state=row.state,
                collateral=Held(free=state.private.free, posted=state.public.posted),
                entries=row.entries,
                run=None if run is None else run.run_id,
                stage=None if run is None else run.stage,
                deadline=None if run is None else deadlines.get(run.run_id),
            )
        )
    return tuple(lines)


def runs(operator: Operator, institution: str | None = None, most: int = MOST_RUNS) -> RunLines:
    """Return the newest runs, of all accounts or of one, the newest ticks first."""
    with operator.store.reading() as session:
        return _runs(session, institution, most)


def _runs(session: Session, institution: str | None, most: int) -> RunLines:
    query = (
        select(*_RUN_COLUMNS)
        .outerjoin(SettlementRow, SettlementRow.run_id == Run.run_id)
        .outerjoin(AttestationRow, AttestationRow.run_id == Run.run_id)
        .order_by(Run.price_sequence.desc(), Run.institution, Run.second.desc())
        .limit(min(most, MOST_RUNS))
    )
    if institution is not None:
        query = query.where(Run.institution == institution)
    found = []
    for row in session.execute(query):
        # Of an outer join: there may be neither.
        settlement: dict[str, Any] | None = row[7]
        body = {} if settlement is None else settlement["body"]
        found.append(
            RunLine(
                run_id=row.run_id,
                institution=row.institution,
                state=row.state,
                price_sequence=row.price_sequence,
                deadline=row.deadline,
                seconds=row.seconds,
                top_up_usd=body.get("top_up_usd"),
                settlement=body.get("kind"),
                published=row[8] is not None,
                problem=row.problem,
            )
        )
    return RunLines(runs=tuple(found))


@dataclass(frozen=True)
class Series:
    """What charts show of the newest ticks, oldest first.

    Attributes:
        ticks: their numbers.
        states: how many runs are in each state, for each tick.
        calls: how many margin calls and liquidations, for each tick.
        top_ups: what they proved to be owed together, whole USD, for each tick.
        seconds: mean seconds of a run's evaluation, for each tick; None where nothing was evaluated.
    """

    ticks: tuple[int, ...]
    states: dict[RunState, tuple[int, ...]]
    calls: tuple[int, ...]
    top_ups: tuple[float, ...]
    seconds: tuple[float | None, ...]


def series(operator: Operator) -> Series:
    """Return what happened at the newest ticks."""
    with operator.store.reading() as session:
        return _series(session)


def _series(session: Session) -> Series:
    newest = select(Tick.sequence).order_by(Tick.sequence.desc()).limit(MOST_TICKS)
    ticks = sorted(session.scalars(newest))
    if not ticks:
        return Series((), {}, (), (), ())
    recent = Run.price_sequence >= ticks[0]
    counted: Counter[tuple[RunState, int]] = Counter()
    query = select(Run.state, Run.price_sequence, func.count()).where(recent)
    for state, sequence, count in session.execute(query.group_by(Run.state, Run.price_sequence)):
        counted[state, sequence] = count
    calls: Counter[int] = Counter()
    top_ups: Counter[int] = Counter()
    settled = select(Run.price_sequence, SettlementRow.document).join(Run, Run.run_id == SettlementRow.run_id)
    # A tick has at most as many as accounts; of a very large house the newest are shown.
    for sequence, document in session.execute(
        settled.where(recent).order_by(Run.price_sequence.desc()).limit(MOST_TICKS * MOST_ACCOUNTS)
    ):
        calls[sequence] += 1
        top_ups[sequence] += int(float(document["body"]["top_up_usd"]))
    spent: dict[int, list[float]] = {}
    timed = select(Run.price_sequence, Run.seconds).where(recent, Run.seconds.is_not(None))
    for sequence, seconds in session.execute(timed.order_by(Run.price_sequence.desc()).limit(MOST_TICKS * 50)):
        spent.setdefault(sequence, []).append(sum(map(float, (seconds or {}).values())))
    return Series(
        ticks=tuple(ticks),
        states={
            state: tuple(counted[state, tick] for tick in ticks)
            for state in RunState
            if any(counted[state, tick] for tick in ticks)
        },
        calls=tuple(calls[tick] for tick in ticks),
        top_ups=tuple(float(top_ups[tick]) for tick in ticks),
        seconds=tuple(sum(spent[tick]) / len(spent[tick]) if tick in spent else None for tick in ticks),
    )


@dataclass(frozen=True)
class LedgerPage:
    """Balances of ledger accounts.

    Attributes:
        lines: account, asset and smallest units.
        totals: the sum of every asset over all accounts, which is zero.
        more: the account to go on after, if there are others.
    """

    lines: tuple[tuple[str, str, int], ...]
    totals: dict[str, int]
    more: str | None


def ledger_page(operator: Operator, after: str = "") -> LedgerPage:
    """Return balances by account, those after one, and the sums over all."""
    with operator.store.reading() as session:
        query = (
            select(LedgerPosting.account, LedgerPosting.asset, func.sum(LedgerPosting.amount))
            .where(LedgerPosting.account > after)
            .group_by(LedgerPosting.account, LedgerPosting.asset)
            .order_by(LedgerPosting.account, LedgerPosting.asset)
            .limit(MOST_LEDGER_LINES + 1)
        )
        found = [(account, asset, int(amount)) for account, asset, amount in session.execute(query)]
        totals = ledger.totals(session)
    more = None
    if len(found) > MOST_LEDGER_LINES:
        # A page ends with a whole account.
        last = found[-1][0]
        found = [line for line in found if line[0] != last]
        more = found[-1][0]
    return LedgerPage(tuple(found), totals, more)


@dataclass(frozen=True)
class Overview:
    """The first page.

    Attributes:
        alarms: what somebody should look at.
        states: how many accounts are in each state.
        tick: number of the newest tick, and when it came; None before the first.
        waiting: how many runs wait for their turn.
        runs: the newest ones.
        series: for charts.
        head: of the log.
    """

    alarms: tuple[Alarm, ...]
    states: dict[AccountState, int]
    tick: tuple[int, str] | None
    waiting: int
    runs: RunLines
    series: Series
    head: LogHead


def overview(operator: Operator) -> Overview:
    """Return the first page."""
    with operator.store.reading() as session:
        states = {
            row[0]: row[1] for row in session.execute(select(Account.state, func.count()).group_by(Account.state))
        }
        tick, head = newest_tick(session), head_of(operator, session)
        waiting = session.scalar(select(func.count()).where(Run.state == RunState.SCHEDULED)) or 0
        return Overview(
            alarms=tuple(alarms_of(operator, session, tick, head)),
            states={state: states[state] for state in AccountState if state in states},
            tick=None if tick is None else (tick.sequence, tick.received_at),
            waiting=waiting,
            runs=_runs(session, None, 10),
            series=_series(session),
            head=head,
        )


@dataclass(frozen=True)
class OneAccount:
    """The page of one account.

    Attributes:
        line: as in the list of all.
        identity: its public key.
        runs: the newest ones.
    """

    line: AccountLine
    identity: str
    runs: RunLines


def account(operator: Operator, institution: str) -> OneAccount:
    """Return one account and its newest runs.

    Raises:
        NotFound: it was never admitted.
    """
    with operator.store.reading() as session:
        row = session.get(Account, institution)
        if row is None:
            raise NotFound("no institution of this name is admitted here", "institution")
        (line,) = _lines(session, [row])
        return OneAccount(line, row.identity, _runs(session, institution, MOST_RUNS))
