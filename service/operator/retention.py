"""Remove what the rules of retention let go (`retention_rules`), in small units of work, each by itself.

The background does it while the operator serves, `atomic-margin operator prune` from outside; both may run at once.
Files go after the rows that named them, so that a crash leaves files that nobody names, which the next start removes.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.service.operator.retention_rules import RetentionRules, RunKept, is_older, words_to_remove
from atomic_margin.service.operator.store import deal_rows, entries
from atomic_margin.service.operator.store.blobs import Blobs
from atomic_margin.service.operator.store.custody_tables import DealingRow
from atomic_margin.service.operator.store.database import Store, now
from atomic_margin.service.operator.store.tables import (
    Account,
    EnrolledKeys,
    EntryRow,
    Run,
    ShortfallRow,
    SubmissionRow,
)
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.account.openings import deals_in_use
from atomic_margin.service.protocol.states import OVER, RunState, ShortfallState

DEAL_HOURS = 1
"""A deal stays so long after its time: a submission with its receipts may be on its way."""
BATCH = 200
"""Runs that one unit of work takes."""


class Pruned(NamedTuple):
    """What was removed, or would be.

    Attributes:
        runs: whose output words went.
        shortfalls: whose words went.
        unconfirmed_keys: uploads that nobody confirmed.
        superseded_keys: files of keys that no book is under.
        ciphertexts: files of books that were replaced.
        deals: that no book is under, and whose time is over.
        bytes: of all that, as far as its size is known.
    """

    runs: int = 0
    shortfalls: int = 0
    unconfirmed_keys: int = 0
    superseded_keys: int = 0
    ciphertexts: int = 0
    deals: int = 0
    bytes: int = 0

    def plus(self, other: "Pruned") -> "Pruned":
        """Return both together."""
        return Pruned(*(a + b for a, b in zip(self, other, strict=True)))


class Retention:
    """Prunes one operator's database and files."""

    def __init__(self, store: Store, blobs: Blobs, rules: RetentionRules) -> None:
        """Prepare; nothing is removed before it is asked for."""
        self._store, self._blobs, self._rules = store, blobs, rules

    def prune(self, *, dry_run: bool = False) -> Pruned:
        """Remove all that may go; with ``dry_run``, count it only."""
        found = self.prune_words(dry_run=dry_run)
        for name in self._institutions():
            found = found.plus(self._prune_files(name, now(), dry_run))
            found = found.plus(self._prune_deals(name, now(), dry_run))
        return found

    def prune_words(self, *, dry_run: bool = False) -> Pruned:
        """Remove output words alone: what grows fastest."""
        found = Pruned()
        for name in self._institutions():
            found = found.plus(self._prune_runs(name, now(), dry_run))
            found = found.plus(self._prune_shortfalls(name, now(), dry_run))
        return found

    def _institutions(self) -> list[str]:
        with self._store.reading() as session:
            return list(session.scalars(select(Account.institution).order_by(Account.institution)))

    def _prune_runs(self, name: str, moment: datetime, dry_run: bool) -> Pruned:
        with self._store.reading() as session:
            runs = _removable_words(session, name, self._rules, moment)
            size = sum(_size(session, run_id) for run_id in runs)
        for first in range(0, 0 if dry_run else len(runs), BATCH):
            some = frozenset(runs[first : first + BATCH])
            self._store.run(partial(_forget_words, name=name, rules=self._rules, moment=moment, found=some))
        return Pruned(runs=len(runs), bytes=size)

    def _prune_shortfalls(self, name: str, moment: datetime, dry_run: bool) -> Pruned:
        recorded = (
            select(ShortfallRow.run_id, func.length(ShortfallRow.output), ShortfallRow.record)
            .join(Run, Run.run_id == ShortfallRow.run_id)
            .where(Run.institution == name, ShortfallRow.state == ShortfallState.RECORDED)
            .where(ShortfallRow.output.is_not(None))
        )
        with self._store.reading() as session:
            old = [
                (run_id, size)
                for run_id, size, record in session.execute(recorded)
                if is_older(instant(record["body"]["evaluated_at"]), self._rules.shortfall_days, moment)
            ]
        if old and not dry_run:
            named = [run_id for run_id, _ in old]
            forget = update(ShortfallRow).where(ShortfallRow.run_id.in_(named)).values(output=None)
            self._store.run(lambda session: session.execute(forget))
        return Pruned(shortfalls=len(old), bytes=sum(size for _, size in old))

    def _prune_files(self, name: str, moment: datetime, dry_run: bool) -> Pruned:
        with self._store.reading() as session:
            abandoned = list(_abandoned_keys(session, name, self._rules, moment))
            superseded = list(_superseded_keys(session, name, self._rules, moment))
            replaced = list(_replaced_ciphertexts(session, name, self._rules, moment))
        if abandoned and not dry_run:
            self._store.run(lambda session: _forget_keys(session, abandoned))
        held = {sha256: self._blobs.size(sha256) for sha256 in (*_files(abandoned), *_files(superseded), *replaced)}
        if not dry_run:
            for sha256, size in held.items():
                if size:
                    self._blobs.remove(sha256)
        return Pruned(
            unconfirmed_keys=len(abandoned),
            superseded_keys=sum(held[keys.evaluation_keys] > 0 for keys in superseded),
            ciphertexts=sum(held[sha256] > 0 for sha256 in replaced),
            bytes=sum(held.values()),
        )

    def _prune_deals(self, name: str, moment: datetime, dry_run: bool) -> Pruned:
        with self._store.reading() as session:
            found = _unused_deals(session, name, moment)
        removed, size = 0, 0
        for deal in found:
            if dry_run:
                with self._store.reading() as session:
                    size += sum(map(self._blobs.size, deal_rows.blobs_of(session, deal)))
                continue
            for sha256 in self._store.run(partial(_forget_deal, name=name, deal=deal, moment=moment)):
                size += self._blobs.size(sha256)
                self._blobs.remove(sha256)
            removed += 1
        return Pruned(deals=len(found) if dry_run else removed, bytes=size)


def _unused_deals(session: Session, name: str, moment: datetime) -> list[str]:
    """Return deals whose time is over for long enough, and that no book in force or waiting is under."""
    used = deals_in_use(entries.state_of(session.get_one(Account, name)).public)
    ended = instant_text(moment - timedelta(hours=DEAL_HOURS))
    query = select(DealingRow.deal).where(DealingRow.institution == name, DealingRow.expires_at < ended)
    return sorted(set(session.scalars(query)) - used)


def _forget_deal(session: Session, name: str, deal: str, moment: datetime) -> set[str]:
    # A book may have come under it since it was looked.
    return deal_rows.forget(session, deal) if deal in _unused_deals(session, name, moment) else set()


def _removable_words(session: Session, name: str, rules: RetentionRules, moment: datetime) -> list[str]:
    account = session.get_one(Account, name)
    disputes = entries.state_of(account).public.disputes
    rows = session.execute(
        select(Run.run_id, Run.number, Run.state, Run.evaluation, ShortfallRow.state)
        .outerjoin(ShortfallRow, ShortfallRow.run_id == Run.run_id)
        .where(Run.institution == name, Run.surplus_output.is_not(None))
    )
    kept = [
        RunKept(run_id, number, state, datetime.fromisoformat(evaluation["ended_at"]), shortfall)
        for run_id, number, state, evaluation, shortfall in rows
        if evaluation is not None and number is not None
    ]
    open_dispute = disputes is not None and disputes.open is not None
    return list(words_to_remove(rules, kept, moment, disputed=open_dispute))


def _forget_words(session: Session, name: str, rules: RetentionRules, moment: datetime, found: frozenset[str]) -> None:
    # Something may have been disputed since it was looked.
    run_ids = found.intersection(_removable_words(session, name, rules, moment))
    session.execute(update(Run).where(Run.run_id.in_(run_ids)).values(surplus_output=None))
    # The flag's words are what the proof of a breach is about: of a settled run they are a part of its bundle.
    covered = Run.run_id.in_(run_ids) & (Run.state != RunState.SETTLED)
    session.execute(update(Run).where(covered).values(breach_output=None))


def _size(session: Session, run_id: str) -> int:
    query = select(func.length(Run.surplus_output), func.length(Run.breach_output), Run.state)
    surplus, breach, state = session.execute(query.where(Run.run_id == run_id)).one()
    return (surplus or 0) + (0 if state is RunState.SETTLED else breach or 0)


def _abandoned_keys(session: Session, name: str, rules: RetentionRules, moment: datetime) -> Iterator[EnrolledKeys]:
    """Yield keys that nobody confirmed in time."""
    query = select(EnrolledKeys).where(EnrolledKeys.institution == name, EnrolledKeys.confirmed.is_(False))
    last = _last_entry(session, name, EventKind.KEYS_ENROLLED)
    if last is not None and is_older(last, rules.unconfirmed_days, moment):
        yield from session.scalars(query)


def _superseded_keys(session: Session, name: str, rules: RetentionRules, moment: datetime) -> Iterator[EnrolledKeys]:
    """Yield keys that newer ones replaced, in every book and long enough ago, and that no run is open under."""
    used = _keys_in_use(session, name)
    confirmed = _last_entry(session, name, EventKind.KEYS_CONFIRMED)
    if confirmed is None or not is_older(confirmed, rules.keys_days, moment):
        return
    query = select(EnrolledKeys).where(EnrolledKeys.institution == name, EnrolledKeys.confirmed.is_(True))
    for keys in session.scalars(query):
        if keys.evaluation_keys in used:
            continue
        books = _books_under(session, name, keys.evaluation_keys)
        if all(_is_idle(session, book, rules.keys_days, moment) for book in books):
            yield keys


def _replaced_ciphertexts(session: Session, name: str, rules: RetentionRules, moment: datetime) -> Iterator[str]:
    """Yield the ciphertexts of books that are neither in force nor waiting, and whose runs are over long enough."""
    public = entries.state_of(session.get_one(Account, name)).public
    used = {book.submission for book in (public.book, public.waiting) if book is not None}
    rows = session.execute(
        select(SubmissionRow.id, SubmissionRow.sha256, SubmissionRow.document).where(SubmissionRow.institution == name)
    )
    removable: set[str] = set()
    kept: set[str] = set()
    for book, sha256, document in rows.all():
        idle = sha256 not in used and _is_idle(session, book, rules.ciphertext_days, moment)
        (removable if idle else kept).add(str(document["body"]["ciphertext"]))
    yield from sorted(removable - kept)


def _keys_in_use(session: Session, name: str) -> set[str]:
    public = entries.state_of(session.get_one(Account, name)).public
    books = (book.evaluation_keys for book in (public.book, public.waiting) if book is not None)
    return {keys for keys in (*books, public.keys) if keys is not None}


def _books_under(session: Session, name: str, evaluation_keys: str) -> list[int]:
    rows = session.execute(select(SubmissionRow.id, SubmissionRow.document).where(SubmissionRow.institution == name))
    return [book for book, document in rows if document["body"]["evaluation_keys"] == evaluation_keys]


def _is_idle(session: Session, book: int, days: int, moment: datetime) -> bool:
    """Return whether no run on a book is open or owed, and its last one, or its arrival, is so many days ago."""
    runs = session.execute(
        select(Run.state, Run.deadline, ShortfallRow.state)
        .outerjoin(ShortfallRow, ShortfallRow.run_id == Run.run_id)
        .where(Run.submission_id == book)
    ).all()
    waiting = (ShortfallState.WAITING, ShortfallState.EVALUATING)
    if any(state not in OVER or state is RunState.UNPROVEN or shortfall in waiting for state, _, shortfall in runs):
        return False
    arrived = session.get_one(SubmissionRow, book).received_at
    last = max([arrived, *(deadline for _, deadline, _ in runs if deadline is not None)])
    return is_older(instant(last), days, moment)


def _last_entry(session: Session, name: str, kind: EventKind) -> datetime | None:
    query = select(EntryRow.entry).where(EntryRow.institution == name, EntryRow.kind == str(kind))
    entry = session.scalar(query.order_by(EntryRow.number.desc()).limit(1))
    return None if entry is None else instant(entry["body"]["entered_at"])


def _forget_keys(session: Session, abandoned: list[EnrolledKeys]) -> None:
    for keys in abandoned:
        row = session.get(EnrolledKeys, keys.evaluation_keys)
        # Confirmed meanwhile, it is abandoned no more.
        if row is not None and not row.confirmed:
            session.delete(row)


def _files(keys: list[EnrolledKeys]) -> list[str]:
    return [sha256 for one in keys for sha256 in (one.evaluation_keys, one.known_answer_input)]
