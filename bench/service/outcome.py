"""What a load left in the operator's database: every run explained by entries, nothing lost, nothing twice.

It reads, once the operator has stopped. Besides what is looked at here, the accounts are replayed from their entries.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import HistoryDiffers
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import (
    Account,
    AnswerRow,
    EntryRow,
    LedgerTransaction,
    LogLeaf,
    Run,
    SettlementRow,
)
from atomic_margin.service.protocol.states import RunState

FINAL = frozenset({RunState.COVERED, RunState.SETTLED, RunState.SUPERSEDED, RunState.NOT_PROVEN})
"""States in which nothing is owed, and nothing is to be done."""
UNFINISHED = frozenset({RunState.SCHEDULED, RunState.EVALUATING, RunState.AWAITING_ANSWER, RunState.BREACH_VERIFIED})
"""States in which something is still to come."""


@dataclass
class Outcome:
    """What was found.

    Attributes:
        states: of runs, and how many are in each.
        lost: what was scheduled or receipted and is not there.
        doubled: what is there twice.
        unexplained: runs in a state that their record, answer and settlement do not explain.
        unfinished: runs in a state in which something is still to come.
        ledger: sums of every asset, all zero.
        replayed: what was compared with the entries, or the first difference.
    """

    states: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    ledger: dict[str, int] = field(default_factory=dict)
    replayed: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        wrong = self.lost or self.doubled or self.unexplained or self.unfinished or any(self.ledger.values())
        return not wrong and self.replayed.startswith("agrees")


def unfinished(store: Store) -> int:
    """Return how many runs are in a state in which something is still to come."""
    with store.unit_of_work() as session:
        return int(session.scalar(select(func.count()).where(Run.state.in_(UNFINISHED))) or 0)


def outcome(store: Store, operator: str, scheduled: Collection[str], receipts: Mapping[str, str]) -> Outcome:
    """Look at everything.

    Args:
        store: of the operator, which has stopped.
        operator: its public key.
        scheduled: runs that ticks scheduled, as the operator answered.
        receipts: hash of the entry that each answered run's institution was given.
    """
    found = Outcome()
    with store.unit_of_work() as session:
        runs = {
            row.run_id: row
            for row in session.execute(select(Run.run_id, Run.institution, Run.state, Run.record_hash, Run.second))
        }
        found.states = dict(sorted(Counter(str(row.state) for row in runs.values()).items()))
        found.lost += [f"run {run_id} was scheduled and is not there" for run_id in sorted({*scheduled} - {*runs})]
        for row in runs.values():
            if row.state in UNFINISHED:
                found.unfinished.append(f"run {row.run_id} is {row.state}")
            elif row.state not in FINAL:
                found.unexplained.append(f"run {row.run_id} is {row.state}")
        of_subject = Counter(session.scalars(select(EntryRow.subject)))
        answers = {row.run_id: row.sha256 for row in session.execute(select(AnswerRow.run_id, AnswerRow.sha256))}
        rows = session.execute(select(SettlementRow.run_id, SettlementRow.sha256))
        settled = {row.run_id: row.sha256 for row in rows}
        recorded = {row.run_id: row.record_hash for row in runs.values() if row.record_hash is not None}
        for what, hashes in (("record", recorded), ("answer", answers), ("settlement", settled)):
            for run_id, hash_ in hashes.items():
                _count(found, f"{what} of run {run_id}", of_subject[hash_])
        for run_id, row in runs.items():
            _explain(found, run_id, row.state, run_id in recorded, run_id in answers, run_id in settled)
        entries = set(session.scalars(select(EntryRow.sha256)))
        found.lost += [
            f"the receipt of run {run_id} is no entry" for run_id, entry in receipts.items() if entry not in entries
        ]
        _bookings(found, session, settled)
        _numbers(found, session)
        found.ledger = ledger.totals(session)
        try:
            compared = replay.check(session, operator)
            found.replayed = "agrees: " + ", ".join(f"{count} {name}" for name, count in compared._asdict().items())
        except HistoryDiffers as difference:
            found.replayed = f"differs: {difference}"
    return found


def _count(found: Outcome, what: str, times: int) -> None:
    if times == 0:
        found.lost.append(f"the {what} has no entry")
    elif times > 1:
        found.doubled.append(f"the {what} has {times} entries")


def _explain(found: Outcome, run_id: str, state: RunState, recorded: bool, answered: bool, settled: bool) -> None:
    """Compare a state with what there is of its run."""
    wanted = {
        RunState.COVERED: (True, True, False),
        RunState.SETTLED: (True, True, True),
        RunState.SUPERSEDED: (False, False, False),
        RunState.NOT_PROVEN: (True, False, False),
    }.get(state)
    if wanted is not None and wanted != (recorded, answered, settled):
        has = [
            name
            for name, there in zip(("record", "answer", "settlement"), (recorded, answered, settled), strict=True)
            if there
        ]
        found.unexplained.append(f"run {run_id} is {state} and has {', '.join(has) or 'nothing'}")


def _bookings(found: Outcome, session: Session, settled: Mapping[str, str]) -> None:
    booked = Counter(
        reference.partition("/")[2]
        for reference in session.scalars(select(LedgerTransaction.reference))
        if reference.startswith("settlement/")
    )
    found.lost += [f"the settlement of run {run_id} is not booked" for run_id in sorted({*settled} - {*booked})]
    found.doubled += [f"run {run_id} is booked {times} times" for run_id, times in booked.items() if times > 1]
    found.unexplained += [f"run {run_id} is booked, not settled" for run_id in sorted({*booked} - {*settled})]


def _numbers(found: Outcome, session: Session) -> None:
    """Entries of an account and leaves of the log are numbered without a gap."""
    counted = session.execute(
        select(EntryRow.institution, func.count(), func.max(EntryRow.number)).group_by(EntryRow.institution)
    )
    of_account = {institution: (count, last) for institution, count, last in counted}
    for institution, entries in session.execute(select(Account.institution, Account.entries)):
        if of_account.get(institution) != (entries, entries):
            found.lost.append(f"{institution} has {of_account.get(institution)} entries and names {entries}")
    count, last = session.execute(select(func.count(), func.max(LogLeaf.number)).select_from(LogLeaf)).one()
    if count and count != last + 1:
        found.lost.append(f"the log has {count} leaves, the last of number {last}")
