"""Make an examiner's archive of an account from an operator's data directory, whose server may be running.

What is in it, `service.protocol.archive` says; who checks it, `service.verifier.archive`.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.circuits.profile import PROFILES, Profile
from atomic_margin.documents.canonical import CanonicalValue, canonical_bytes, canonical_hash
from atomic_margin.documents.fields import instant_text, now_text
from atomic_margin.documents.strict import instant
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.universe import UniverseModel
from atomic_margin.service.archives import ArchiveWriter
from atomic_margin.service.audit.errors import NothingToArchive, TermsMissing
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.audit.terms import TermsDocuments, parse_documents
from atomic_margin.service.log.tree import ReadHashes, inclusion_proof
from atomic_margin.service.operator.store import checkpoints, log
from atomic_margin.service.operator.store.entries import document_of, rotations
from atomic_margin.service.operator.store.market_chain import last_market_of
from atomic_margin.service.operator.store.tables import (
    Account,
    EnrolledKeys,
    EntryRow,
    Run,
    SubmissionRow,
    Tick,
    UniverseRow,
)
from atomic_margin.service.protocol.account.entries import Chain, Entry, Salts, followed
from atomic_margin.service.protocol.account.events import AdmissionRecord, EventKind
from atomic_margin.service.protocol.archive import (
    EARLIER_FILE,
    ENTRIES_FILE,
    FLAGS_FILE,
    OPENING_FILE,
    README,
    README_FILE,
    TERMS_FILE,
    TICKS_FILE,
)
from atomic_margin.service.protocol.replayed import NotedDocument, Replayed, ReplayedStep
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.terms import named_terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.reports.archived import archived_reports

JsonObject = dict[str, Any]
Progress = Callable[[str, int, int], None]


class Period(NamedTuple):
    """A stretch of time, both ends included, in UTC."""

    begins: datetime
    ends: datetime

    def has(self, moment: str) -> bool:
        """Return whether a time of a document is in it."""
        return self.begins <= instant(moment) <= self.ends


def make_archive(
    store: ReadOnlyStore,
    institution: str,
    period: Period,
    path: Path,
    identity: Identity,
    documents: TermsDocuments | None = None,
    on_progress: Progress = lambda what, done, all_: None,
) -> SignedDocument:
    """Write the archive of an account over a period; return its signed manifest.

    Args:
        store: of the operator.
        institution: whose account.
        period: entries of these times; the state before the first is shown, and where it comes from. If a run is open
            or owed in it, the archive begins earlier, with the entry of that run's record.
        path: of the archive, written whole or not at all.
        identity: of the operator, which signs.
        documents: model, universe and schedule, where no stored bundle has them.
        on_progress: told what is written, how much of it is, and how much there is.

    Raises:
        NothingToArchive: there is no such account or no entry in the period, or the log does not have them yet.
        TermsMissing: no stored bundle has the terms, and none are given.
        EntryRefused: what is stored is no history.
        ConfigurationError: the archive cannot be written.
    """
    with store.session() as session, ArchiveWriter(path) as writer:
        account = session.get(Account, institution)
        if account is None:
            known = ", ".join(session.scalars(select(Account.institution).order_by(Account.institution).limit(8)))
            raise NothingToArchive(f"there is no account {institution!r} here; there are: {known or 'none'}")
        making = _Making(session, account, _rows(session, institution, period), identity.public_key)
        on_progress("replaying what was before", 0, making.rows[0].number)
        opening, rows = making.opening(), making.rows
        writer.data(README_FILE, README.encode())
        replayed = Replayed(identity.public_key, (terms := making.documents(store, documents))[2], making.before)
        writer.data(TERMS_FILE, _json(making.terms(*terms)))
        if opening is not None:
            writer.data(OPENING_FILE, _json(opening))
        writer.lines(ENTRIES_FILE, _told(making.entries(replayed), on_progress, "entries", len(rows)))
        writer.lines(EARLIER_FILE, iter(making.earlier()))
        writer.lines(TICKS_FILE, _told(making.ticks(replayed), on_progress, "ticks", making.tick_count))
        writer.lines(FLAGS_FILE, making.flags())
        on_progress("making reports", 0, len(rows))
        for name, data in archived_reports(replayed):
            writer.data(name, data)
        said: dict[str, CanonicalValue] = {
            "institution": institution,
            "account": making.salts.account,
            "operator": identity.public_key,
            "log": making.chain_log,
            "first": str(rows[0].number),
            "last": str(rows[-1].number),
            "begins": instant_text(period.begins),
            "ends": instant_text(period.ends),
            "made_at": now_text(),
        }
        return writer.finish(said, identity)


def _rows(session: Session, institution: str, period: Period) -> list[EntryRow]:
    query = select(EntryRow).where(EntryRow.institution == institution).order_by(EntryRow.number)
    rows = [row for row in session.scalars(query) if period.has(row.entry["body"]["entered_at"])]
    if not rows:
        raise NothingToArchive(
            f"{institution} has no entry from {instant_text(period.begins)} to {instant_text(period.ends)}; take a "
            "longer period"
        )
    return rows


def _json(value: CanonicalValue) -> bytes:
    return canonical_bytes(value) + b"\n"


def _told(documents: Iterator[CanonicalValue], progress: Progress, what: str, count: int) -> Iterator[CanonicalValue]:
    for number, document in enumerate(documents, 1):
        yield document
        progress(what, number, count)


class _Making:
    """What goes into one archive, file by file, from one state of the store.

    Attributes:
        rows: the entries; from `opening` on with those that they rest on.
        salts: of the account.
        chain_log: origin of the log.
        before: the entry before the first one, with the account after it; None if there is none.
    """

    def __init__(self, session: Session, account: Account, rows: list[EntryRow], operator: str) -> None:
        self._session, self.rows, self._operator = session, rows, operator
        self._institution = account.institution
        self.salts = Salts(account.seed)
        self.chain_log = str(rows[0].entry["body"]["log"])
        checkpoint = checkpoints.newest(session)
        if checkpoint is None or checkpoint.size <= rows[-1].leaf:
            raise NothingToArchive(
                "no checkpoint of the log that enough witnesses cosigned has the last entry yet; try again in a minute"
            )
        self._checkpoint = checkpoint
        self._hashes: ReadHashes = log.reader(session)
        self._chain = Chain()
        self.before: ReplayedStep | None = None

    def opening(self) -> JsonObject | None:
        """Follow the account to the first entry of the archive; return what shows the state before it.

        If a run is open or owed there, the archive begins with the entry of its record: `rows` reaches back to it.
        """
        first, chain = self.rows[0].number, Chain()
        if first == 1:
            return None
        row: EntryRow | None = None
        recorded: tuple[EntryRow | None, Chain] | None = None
        for found in self._from(1, first):
            if EventKind(found.kind) is EventKind.RUN_RECORDED:
                recorded = row, chain
            signed = SignedDocument.parse(found.entry)
            document = SignedDocument.parse(document_of(self._session, found))
            row, chain = found, followed(chain, signed, document, self.salts, self._operator)
        run = None if chain.state is None else chain.state.public.run
        if run is not None and run.record is not None and recorded is not None:
            # What comes next can be about this run: an answer, a settlement, the end of its time.
            row, chain = recorded
            self.rows = [*self._from(chain.number + 1, first), *self.rows]
        if row is None or chain.state is None:
            raise NothingToArchive(f"entry {first} of {self._institution} has no entry before it; restore a backup")
        self._chain, self.before = chain, ReplayedStep(Entry.parse(row.entry["body"]), chain.head, chain.state, None)
        return {
            "entry": row.entry,
            "salts": self._salts_of(row.number),
            "public": chain.state.public.canonical(),
            "private": chain.state.private.canonical(),
            "leaf": self._leaf(row),
        }

    def _from(self, first: int, end: int) -> Iterator[EntryRow]:
        """Yield the entries from one number to before another."""
        query = select(EntryRow).where(EntryRow.institution == self._institution)
        query = query.where(EntryRow.number >= first, EntryRow.number < end)
        yield from self._session.scalars(query.order_by(EntryRow.number))

    def entries(self, replayed: Replayed) -> Iterator[CanonicalValue]:
        """Yield every entry with its document, its salts, and its place in the log; keep what reports are made of."""
        chain = self._chain
        for row in self.rows:
            document = document_of(self._session, row)
            signed, parsed = SignedDocument.parse(row.entry), SignedDocument.parse(document)
            chain = followed(chain, signed, parsed, self.salts, self._operator)
            if chain.state is None:
                raise TypeError("an entry was followed to no state")
            noted = NotedDocument.of(parsed, row.subject)
            replayed.note(len(self.rows), ReplayedStep(Entry.parse(signed.body), chain.head, chain.state, noted))
            yield {
                "entry": row.entry,
                "document": document,
                "salts": self._salts_of(row.number),
                "leaf": self._leaf(row),
            }

    def _salts_of(self, number: int) -> dict[str, CanonicalValue]:
        return {part: self.salts.of(part, number) for part in ("document", "public", "private")}

    def _leaf(self, row: EntryRow) -> dict[str, CanonicalValue]:
        path = inclusion_proof(self._hashes, row.leaf, self._checkpoint.size)
        return {"index": str(row.leaf), "path": [hash_.hex() for hash_ in path]}

    def terms(
        self, model: UniverseModel[Any, Any], universe: Universe, schedule: CollateralSchedule, profile: Profile
    ) -> JsonObject:
        """Return what everything is computed by, and the checkpoint."""
        last = self._last_market()
        revised = list(self._session.scalars(select(UniverseRow).order_by(UniverseRow.number)))
        return {
            "model": model.canonical(),
            "universes": [universe.canonical(), *(row.document for row in revised)],
            "schedule": schedule.canonical(),
            "profile": profile.hash(),
            "revisions": [row.revision for row in revised],
            "checkpoint": self._checkpoint.note,
            **({} if last is None else {"last_market": last}),
        }

    def documents(
        self, store: ReadOnlyStore, given: TermsDocuments | None
    ) -> tuple[UniverseModel[Any, Any], Universe, CollateralSchedule, Profile]:
        """Return the terms that the account was admitted under: given, or in a stored bundle.

        Raises:
            TermsMissing: they are not at hand.
        """
        admitted = self._session.get_one(EntryRow, (self._institution, 1))
        admission = AdmissionRecord.parse(document_of(self._session, admitted)["body"])
        for model, universe, schedule in [given] if given is not None else _published(store):
            for profile in PROFILES.values():
                named = named_terms(model.hash(), schedule.hash(), profile)
                if (named, universe.hash()) == (admission.terms, self._first_universe(admission)):
                    return model, universe, schedule, profile
        raise TermsMissing(
            "no stored bundle has the terms that the account was admitted under"
            if given is None
            else "these are not the terms that the account was admitted under"
            + ": give --model, --universe and --schedule, as `serve` had them"
        )

    def _first_universe(self, admission: AdmissionRecord) -> str:
        """Return the hash of the operator's first universe: revisions lead from there to the account's."""
        first = self._session.scalar(select(UniverseRow.revision).order_by(UniverseRow.number).limit(1))
        return admission.universe if first is None else str(first["body"]["before"])

    @cached_property
    def _numbers(self) -> tuple[int, int]:
        """First and last number of the ticks that are needed; (1, 0) for none."""
        bodies = [row.entry["body"] for row in self.rows]
        last = max(int(body["tick_sequence"]) for body in bodies)
        named = {int(bodies[0]["market_sequence"]), int(bodies[0]["tick_sequence"])} - {0}
        before = None if self.before is None else self.before.account.public
        if before is not None:
            named |= {number for number in (before.newest.market, before.newest.tick) if number}
            named |= set() if before.run is None else {before.run.price_sequence}
        return (min(named, default=1), last) if last else (1, 0)

    @property
    def tick_count(self) -> int:
        """How many ticks there are."""
        first, last = self._numbers
        return last - first + 1

    def _last_market(self) -> JsonObject | None:
        first, last = self._numbers
        return None if last < first else last_market_of(self._session, self._session.get_one(Tick, first))

    def ticks(self, replayed: Replayed) -> Iterator[CanonicalValue]:
        """Yield the signed ticks that entries and runs name, and those between them; keep them for reports."""
        first, last = self._numbers
        query = select(Tick.document).where(Tick.sequence >= first, Tick.sequence <= last).order_by(Tick.sequence)
        named = self._last_market()
        if named is not None:
            replayed.priced(PriceTick.parse(named["body"]))
        for document in self._session.scalars(query):
            replayed.priced(PriceTick.parse(document["body"]))
            yield document

    def earlier(self) -> list[CanonicalValue]:
        """Return rotations, submissions and enrolments from before the first entry that later documents rest on."""
        here = {row.subject for row in self.rows}
        wanted = [
            row.subject for row in self.rows if EventKind(row.kind) in (EventKind.SUBMITTED, EventKind.LOSSES_SETTLED)
        ]
        before = None if self.before is None else self.before.account.public
        if before is not None:
            wanted += [one.submission for one in (before.book, before.waiting, before.run) if one is not None]
        found: dict[str, CanonicalValue] = {}
        for subject in dict.fromkeys(wanted):
            own = self._submission(subject)
            compared = own["body"]["gain"].get("before")
            # Each under its own keys: the book before may be from before they were changed.
            for name in (subject, *([] if compared is None else [compared])):
                document = self._submission(name)
                if name not in here:
                    found[name] = document
                keys = self._session.get_one(EnrolledKeys, document["body"]["evaluation_keys"]).document
                enrolment = SignedDocument.parse(keys).body_hash()
                if enrolment not in here:
                    found[enrolment] = keys
        return [*rotations(self._session, self._institution, self.rows[0].number), *found.values()]

    def _submission(self, sha256: str) -> JsonObject:
        found: JsonObject = self._session.scalars(
            select(SubmissionRow.document).where(SubmissionRow.sha256 == sha256)
        ).one()
        return found

    def flags(self) -> Iterator[CanonicalValue]:
        """Yield the words of the breach flag of every run whose breach was proven."""
        for row in self.rows:
            if EventKind(row.kind) is EventKind.BREACH_PROVEN:
                run = str(document_of(self._session, row)["body"]["run"])
                output = self._session.scalars(select(Run.breach_output).where(Run.record_hash == run)).one()
                yield {"run": run, "words": (output or b"").hex()}


def _published(store: ReadOnlyStore) -> Iterator[TermsDocuments]:
    seen = set()
    for body in store.published_terms(""):
        named = canonical_hash("terms-documents", [body["model"], body["universe"], body["schedule"]])
        if named not in seen:
            seen.add(named)
            yield parse_documents(body["model"], body["universe"], body["schedule"])
