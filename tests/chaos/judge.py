"""Says of a stopped house what is wrong with it: the same for every story.

What the operator served while it ran, what its database has, and what the agent's database has are three witnesses of
one history. They are compared with each other, with `operator replay --check`, and with what entries may say at all.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.institution import store as own
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.log.hashing import leaf_hash, tree_hash
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.addresses import DATABASE_FILE
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import (
    Account,
    AnswerRow,
    AttestationRow,
    CheckpointRow,
    EntryRow,
    LedgerPosting,
    LedgerTransaction,
    LogLeaf,
    Run,
    SettlementRow,
    Tick,
)
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.messages import Entries
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState

_K, _S = EventKind, RunState

STORIES: dict[tuple[EventKind, ...], RunState] = {
    (): _S.SUPERSEDED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.COVERED): _S.COVERED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.ANSWER_OVERDUE, _K.COVERED): _S.COVERED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.BREACH_PROVEN, _K.MARGIN_CALLED): _S.SETTLED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.ANSWER_OVERDUE, _K.BREACH_PROVEN, _K.MARGIN_CALLED): _S.SETTLED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.BREACH_PROVEN, _K.LIQUIDATED): _S.SETTLED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.ANSWER_OVERDUE, _K.OPENED_COVERED): _S.COVERED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.ANSWER_OVERDUE, _K.OPENED_IN_BREACH, _K.MARGIN_CALLED): _S.SETTLED,
    (_K.RUN_OPENED, _K.RUN_RECORDED, _K.ANSWER_OVERDUE, _K.OPENED_IN_BREACH, _K.LIQUIDATED): _S.SETTLED,
}
"""What entries may say of a run that is over, and what it is then. Anything else is not finished, or twice. That its
opening was asked for is left out here: it may be, of any run that is owed, and more than once.
"""
SETTLED = frozenset({_K.MARGIN_CALLED, _K.LIQUIDATED})
ANSWERED = SETTLED | {_K.COVERED, _K.OPENED_COVERED}
"""What a run ends by that has an answer, the institution's or its custodians'."""


@dataclass(frozen=True)
class Seen:
    """What was seen while the house stood.

    Attributes:
        entries: of the account, as the operator served them: entry and document.
        ticks: numbers that the operator took, as its sources know.
    """

    entries: tuple[tuple[SignedDocument, SignedDocument], ...]
    ticks: tuple[int, ...]

    def hashes(self) -> list[str]:
        """Return the hashes of the entries."""
        return [entry.body_hash() for entry, _ in self.entries]

    def overtaken(self, number: int) -> bool:
        """Return whether something came in place of the run under a tick: another tick, or a proof without a run."""
        unasked = [entry for entry, _ in self.entries if entry.body["kind"] == str(EventKind.COVERED_UNASKED)]
        return number < max(self.ticks) or any(int(entry.body["tick_sequence"]) >= number for entry in unasked)

    def of_runs(self) -> dict[str, tuple[EventKind, ...]]:
        """Return what entries say of each run, in their order, but for requests to open it."""
        found: dict[str, tuple[EventKind, ...]] = {}
        for entry, document in self.entries:
            run_id = document.body.get("run_id")
            if run_id is not None and entry.body["kind"] != str(EventKind.OPENING_REQUESTED):
                found[run_id] = (*found.get(run_id, ()), EventKind(entry.body["kind"]))
        return found


def served(url: str, token: str, ticks: Iterable[int]) -> Seen:
    """Read the account's entries from a running operator, as its own people may."""
    found: list[tuple[SignedDocument, SignedDocument]] = []
    more = True
    while more:
        answer = httpx.get(
            f"{url}/v1/institutions/{NAME}/entries",
            params={"after": str(len(found))},
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        answer.raise_for_status()
        page = Entries.parse(answer.json())
        found += [(SignedDocument.parse(item.entry), SignedDocument.parse(item.document)) for item in page.entries]
        more = page.more
    return Seen(tuple(found), tuple(ticks))


def judge(root: Path, seen: Seen, database: str | None = None, state: AccountState = AccountState.ACTIVE) -> list[str]:
    """Return everything that is wrong with a stopped house, in sentences; nothing if all is as it has to be.

    Args:
        root: has the folders `operator` and `institution`.
        seen: what the operator served at the end.
        database: URL of the operator's, if it is not in its folder.
        state: that the account has to be in.
    """
    wrong = list(_replayed(root / "operator", database))
    store = Store.in_directory(root / "operator") if database is None else Store(database)
    with closing(store), store.reading() as session:
        wrong += _runs(session, seen)
        wrong += _settlements(session, seen)
        wrong += _ledger(session)
        wrong += _account(session, seen, state)
        wrong += _log(session)
    engine = create_engine(f"sqlite:///{root / 'institution' / 'institution.db'}")
    try:
        with Session(engine) as session:
            wrong += _agent(session, seen)
    finally:
        engine.dispose()
    return wrong


def _replayed(directory: Path, database: str | None) -> Iterator[str]:
    """What `operator replay --check` says."""
    options = [] if database is None else ["--database", database]
    if database is None and not (directory / DATABASE_FILE).is_file():
        yield f"there is no database in {directory}"
        return
    done = CliRunner().invoke(app, ["operator", "replay", "--check", "--dir", str(directory), *options])
    if done.exit_code:
        yield f"replay: {' '.join(done.output.split()) or done.exception}"


def _runs(session: Session, seen: Seen) -> Iterator[str]:
    """Every tick has its run, and entries explain what it is."""
    said = seen.of_runs()
    found = {row.run_id: row.state for row in session.execute(select(Run.run_id, Run.state))}
    numbers = list(session.scalars(select(Tick.sequence).order_by(Tick.sequence)))
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"ticks are numbered {numbers}"
    for number in seen.ticks:
        if number not in numbers:
            yield f"tick {number} was taken and is lost"
        elif f"{NAME}.{number}" not in found:
            yield f"run {NAME}.{number} is lost: its tick was taken"
    for run_id in sorted({*said, *found}):
        kinds, state = said.get(run_id, ()), found.get(run_id)
        told = ", ".join(map(str, kinds)) or "nothing"
        for kind, times in Counter(kinds).items():
            if times > 1:
                yield f"run {run_id}: entries say {times} times that it is {kind}"
        if kinds not in STORIES:
            yield f"run {run_id} is {state}, and entries say {told}: it is not over, or it is more than over"
        elif STORIES[kinds] is not state:
            yield f"run {run_id} is {state or 'lost'}, and entries say {told}"
        elif not kinds and not seen.overtaken(int(run_id.rpartition(".")[2])):
            yield f"run {run_id} is {state}, and neither a later tick nor a proof that nobody asked for came instead"


def _settlements(session: Session, seen: Seen) -> Iterator[str]:
    """What is settled has one settlement, one booking of just what it says, and one bundle; all else has none."""
    settled = {run_id for run_id, kinds in seen.of_runs().items() if SETTLED & {*kinds}}
    rows = {row.run_id: row for row in session.scalars(select(SettlementRow))}
    yield from _differ("settlement", settled, rows)
    booked = Counter(
        reference.partition("/")[2]
        for reference in session.scalars(select(LedgerTransaction.reference))
        if reference.startswith("settlement/")
    )
    yield from _differ("booking", settled, booked)
    for run_id, times in booked.items():
        if times > 1:
            yield f"run {run_id} is booked {times} times"
    answered = {run_id for run_id, kinds in seen.of_runs().items() if kinds and kinds[-1] in ANSWERED}
    yield from _differ("answer", answered, session.scalars(select(AnswerRow.run_id)))
    yield from _differ("bundle", answered, session.scalars(select(AttestationRow.run_id)))
    for run_id, row in rows.items():
        moved: Counter[tuple[str, str]] = Counter()
        for posting in session.scalars(select(LedgerPosting).where(LedgerPosting.transaction_id == row.transaction_id)):
            moved[posting.account, posting.asset] += posting.amount
        said: Counter[tuple[str, str]] = Counter()
        for move in row.document["body"]["transfers"]:
            said[ledger.free(NAME), move["asset"]] -= int(move["quantity"])
            said[ledger.posted(NAME), move["asset"]] += int(move["quantity"])
        if row.document["body"]["kind"] == "margin_call" and moved != said:
            yield f"the settlement of run {run_id} says {dict(said)}, and {dict(moved)} was booked"


def _differ(what: str, wanted: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    wanted, found = {*wanted}, {*found}
    yield from (f"run {run_id} has no {what}" for run_id in sorted(wanted - found))
    yield from (f"run {run_id} has a {what} that no entry explains" for run_id in sorted(found - wanted))


def _ledger(session: Session) -> Iterator[str]:
    """Nothing is made or lost, and nobody has less than nothing."""
    yield from (f"the ledger sums to {total} {asset}" for asset, total in ledger.totals(session).items() if total)
    single = select(LedgerPosting.transaction_id, LedgerPosting.asset, func.sum(LedgerPosting.amount))
    for transaction, asset, total in session.execute(
        single.group_by(LedgerPosting.transaction_id, LedgerPosting.asset)
    ):
        if total:
            yield f"transaction {transaction} of the ledger sums to {total} {asset}"
    for account, held in ledger.accounts(session).items():
        if account != ledger.EXTERNAL:
            yield from (f"{account} holds {quantity} {asset}" for asset, quantity in held.items() if quantity < 0)


def _account(session: Session, seen: Seen, state: AccountState) -> Iterator[str]:
    """The entries that were served are those that are stored, and the account owes nothing."""
    rows = session.execute(
        select(EntryRow.number, EntryRow.sha256).where(EntryRow.institution == NAME).order_by(EntryRow.number)
    ).all()
    yield from _chains("the operator stored", [tuple(row) for row in rows], seen)
    account = session.get_one(Account, NAME)
    if (account.entries, account.head) != (len(seen.entries), seen.hashes()[-1]):
        yield f"the account's head is entry {account.entries}, {account.head[:16]}, and another was served"
    if account.state is not state:
        yield f"the account is {account.state}"
    public = PublicState.parse(account.public_state)
    if public.owed is not None:
        yield "the account owes the proof of a book"


def _chains(who: str, stored: Sequence[tuple[Any, ...]], seen: Seen) -> Iterator[str]:
    """Compare stored numbers and hashes of entries with those that were served."""
    wanted = list(enumerate(seen.hashes(), 1))
    if stored != wanted:
        at = next(
            (number for (number, *_), one, other in zip(wanted, stored, wanted, strict=False) if one != other),
            min(len(stored), len(wanted)) + 1,
        )
        yield f"{who} {len(stored)} entries and {len(wanted)} were served; entry {at} is the first that differs"


def _log(session: Session) -> Iterator[str]:
    """The log's leaves are numbered without a gap, and every checkpoint that was published is of these leaves."""
    leaves = session.execute(select(LogLeaf.number, LogLeaf.entry).order_by(LogLeaf.number)).all()
    if [number for number, _ in leaves] != list(range(len(leaves))):
        yield f"the log has {len(leaves)} leaves, the last of number {leaves[-1][0]}"
    hashes = [leaf_hash(bytes(entry)) for _, entry in leaves]
    notes = list(session.scalars(select(CheckpointRow.note).order_by(CheckpointRow.size)))
    heads = [Checkpoint.parse(note).head for note in notes]
    if not heads:
        yield "the log has no checkpoint"
    for head in heads:
        if head.size > len(hashes):
            yield f"a checkpoint of {head.size} leaves was published, the log has {len(hashes)}"
        elif tree_hash(hashes[: head.size]) != head.root:
            yield f"the checkpoint of {head.size} leaves is of another log"
    sizes = [head.size for head in heads]
    if any(later <= earlier for earlier, later in pairwise(sizes)):
        yield f"checkpoints are of {sizes} leaves"


def _agent(session: Session, seen: Seen) -> Iterator[str]:
    """The agent has every entry, and entries have everything that it signed."""
    rows = session.execute(select(own.OwnEntry.number, own.OwnEntry.sha256).order_by(own.OwnEntry.number)).all()
    yield from _chains("the agent stored", [tuple(row) for row in rows], seen)
    account = session.scalars(select(own.OwnAccount)).one()
    if (account.number, account.head) != (len(seen.entries), seen.hashes()[-1]):
        yield f"the agent's head is entry {account.number}, {account.head[:16]}, and another was served"
    subjects = {document.body_hash() for _, document in seen.entries}
    for table in (own.OwnSubmission, own.OwnDocument, own.OwnAnswer):
        for row in session.scalars(select(table)):
            what = f"a document of the agent's ({table.__tablename__}, {str(row.sha256)[:16]})"
            if row.sha256 is None or row.superseded is not None:
                continue
            if row.entry is None:
                yield f"{what} has no entry and is not given up"
            elif row.sha256 not in subjects:
                yield f"{what} has an entry, as the agent has it, and none that was served"
    for row in session.scalars(select(own.OwnKeys)):
        if row.alarm is not None:
            yield f"the agent raised an alarm: {row.alarm}"
