"""The agent's replica of its account: every entry of the operator is checked by the machine before anything is signed.

Entries are followed one by one. Each is stored together with the state after it, so a crash leaves the replica at an
entry that was checked. Beyond what `account.entries.followed` checks, an entry must

- stand at a tick of the agent's own market chain;
- have, if it is the institution's own document, one that this directory sent;
- admit this institution's key under the pinned terms;
- declare a run overdue after the deadline of its record, and settle a breach by what has to move.

The first that does not ends the round, and every later one until the operator shows another: nothing is answered while
the history is broken. What the operator signed against itself is kept in `contradictions`.
"""

import logging
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import AgentRefused, MalformedResponse, RequestError, SignatureInvalid
from atomic_margin.service.institution import custody, defaults
from atomic_margin.service.institution.admitted import check_pinned
from atomic_margin.service.institution.behind import page_after
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.institution.cosigned import check_overdue
from atomic_margin.service.institution.disputed import check_lapse
from atomic_margin.service.institution.matured import check_paid
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.settled import check_found, check_settlement
from atomic_margin.service.institution.store import (
    InstitutionStore,
    OwnAccount,
    OwnDocument,
    OwnEntry,
    find_sent,
)
from atomic_margin.service.institution.told import told
from atomic_margin.service.institution.undelivered import keep_undelivered
from atomic_margin.service.institution.universes import Universes
from atomic_margin.service.institution.unsent import unsent
from atomic_margin.service.log.netted import check_netting
from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.entries import Chain, Entry, Salts, followed
from atomic_margin.service.protocol.account.errors import (
    EntryForged,
    EntryForked,
    EntryIllegal,
    EntryRefused,
    EntryUnsent,
)
from atomic_margin.service.protocol.account.events import AdmissionRecord, EventKind, Overdue, UniverseRevision
from atomic_margin.service.protocol.account.machine import OF_INSTITUTION
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.account.state import Account, PrivateState, PublicState
from atomic_margin.service.protocol.disputes import DisputeLapse
from atomic_margin.service.protocol.documents import RunRecord, Settlement
from atomic_margin.service.protocol.messages import Entries, EntryItem
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Terms, terms_hash
from atomic_margin.service.protocol.trust import TrustFile

JsonObject = dict[str, Any]

MAX_PAGES = 256
"""Responses that are read in one round. What is missing then comes in the next one."""

_SEED = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class History:
    """The entries of one account, followed."""

    def __init__(
        self,
        settings: AgentSettings,
        terms: Terms,
        identity: str,
        store: InstitutionStore,
        chain: MarketChain,
        fetch: Callable[[int], Entries],
        universes: Universes,
    ) -> None:
        """Go on from what is stored.

        Args:
            settings: of the agent.
            terms: pinned.
            identity: the institution's public key.
            store: the institution's database.
            chain: the ticks that the agent has seen.
            fetch: asks the operator for the entries after a number.
            universes: takes the revisions that entries are about.
        """
        self._settings, self._terms, self._identity = settings, terms, identity
        self._store, self._chain, self._fetch = store, chain, fetch
        self._operator = settings.trust.operator
        self._universes = universes
        self._account = self._load()
        for revision in self._revisions():
            universes.take(revision.universe)

    @property
    def head(self) -> str:
        """Hash of the last entry."""
        return self._account.head

    @property
    def number(self) -> int:
        """Number of the last entry, 0 before the first."""
        return self._account.number

    @property
    def state(self) -> Account | None:
        """The account after it, None before the first."""
        return self._account.state

    def sync(self, adopt: bool = False) -> int:
        """Follow the account to its last entry; return how many documents were adopted.

        Args:
            adopt: take the institution's own documents that this directory does not know, see `EntryUnsent`.

        Raises:
            EntryRefused: an entry does not hold; the entries before it stay followed.
            OperatorContradicts, AgentRefused: its tick does not follow those that were seen, or there is much to do.
            OperatorBehind: it lacks entries that are known here.
            RemoteError: the operator does not answer.
        """
        # Another process on this directory may have gone on.
        self._account = self._load()
        adopted = 0
        for _ in range(MAX_PAGES):
            page = page_after(self._fetch, self._account.number)
            salts = self._pinned(page)
            for item in page.entries:
                adopted += self._take(item, salts, adopt)
            if not page.more:
                self._require_key()
                return adopted
            if not page.entries:
                raise MalformedResponse("the operator says there are more entries, and sends none", "entries")
        raise AgentRefused(f"{MAX_PAGES} responses full of entries were followed; the rest comes next")

    def _require_key(self) -> None:
        """Make sure that this directory has the key that the account is under."""
        state = self._account.state
        if state is not None and state.public.identity != self._identity:
            raise AgentRefused(
                f"the account is under the identity key {state.public.identity}, and this directory has "
                f"{self._identity}: copy the identity.key here that it was replaced by"
            )

    def expect(self, answer: SignedDocument, document: SignedDocument) -> None:
        """Follow the account, and make sure that it has a document by the entry that the operator answered with.

        Raises:
            EntryRefused: the answer is not signed by the operator; or the account has no such entry; or the document is
                in another one; or as `sync`.
            AgentRefused, RemoteError: as `sync`.
        """
        try:
            answer.verify(frozenset({self._operator}))
        except SignatureInvalid as error:
            raise EntryForged(f"the operator answers a {document.type} with no entry of its own: {error}") from error
        self.sync()
        with self._store.unit_of_work() as session:
            own = find_sent(session, document.body_hash())
            stored = None if own is None or own.entry is None else session.get(OwnEntry, own.entry)
        if stored is None:
            raise EntryForged(f"the operator took a {document.type}, and the account has no entry of it")
        if stored.sha256 != answer.body_hash():
            refusal = EntryForked(
                f"the operator answers a {document.type} with another entry than the account has of it",
                entry=answer.to_json(),
                seen=stored.entry,
            )
            self._keep_contradiction(refusal)
            raise refusal

    def _load(self) -> Chain:
        with self._store.unit_of_work() as session:
            row = session.get(OwnAccount, 1)
        if row is None or row.public is None or row.private is None:
            return Chain()
        public, private = PublicState.parse(row.public), PrivateState.parse(row.private)
        return Chain(row.number, row.head, Account(public=public, private=private))

    def _revisions(self) -> list[UniverseRevision]:
        """Return the revisions of the universe that entries so far are about, in order."""
        with self._store.unit_of_work() as session:
            kind = str(EventKind.UNIVERSE_REVISED)
            rows = session.query(OwnEntry).filter_by(kind=kind).order_by(OwnEntry.number).all()
        return [UniverseRevision.parse((row.document or {})["body"]) for row in rows]

    def _pinned(self, page: Entries) -> Salts:
        """Return the salts; log and seed are those that were first heard of."""
        with self._store.unit_of_work() as session:
            row = session.get(OwnAccount, 1)
            if row is None:
                if not _SEED.fullmatch(page.seed):
                    raise MalformedResponse("the seed of the account's salts is 64 hex digits", "seed")
                empty = Chain()
                row = OwnAccount(id=1, log=page.log, seed=page.seed, number=empty.number, head=empty.head)
                session.add(row)
        for name in ("log", "seed"):
            if getattr(page, name) != getattr(row, name):
                raise EntryForged(f"the operator names another {name} for this account than it did at first")
        return Salts(row.seed)

    def _take(self, item: EntryItem, salts: Salts, adopt: bool) -> bool:
        """Check one entry, and store it with the state that follows; return whether its document was adopted."""
        try:
            try:
                signed, document = SignedDocument.parse(item.entry), SignedDocument.parse(item.document)
            except DocumentsError as error:
                raise EntryForged(f"an entry or its document is no signed document: {error}") from error
            after = followed(self._account, signed, document, salts, self._operator)
            entry = Entry.parse(signed.body)
            self._check_place(entry, signed)
            self._check_event(entry, signed, document, after)
        except EntryRefused as refusal:
            self._keep_contradiction(refusal)
            raise
        adopted = self._store_entry(entry, signed, document, after, adopt)
        self._account = after
        _log.info("entry %d: %s", entry.number, told(entry.kind, document))
        return adopted

    def _store_entry(
        self, entry: Entry, signed: SignedDocument, document: SignedDocument, after: Chain, adopt: bool
    ) -> bool:
        own = entry.kind in OF_INSTITUTION
        if after.state is None:
            raise TypeError("an entry was followed to no state")
        with self._store.unit_of_work() as session:
            adopted = own and self._mark_sent(session, document, entry.number, adopt)
            session.add(
                OwnEntry(
                    number=entry.number,
                    sha256=signed.body_hash(),
                    entry=signed.to_json(),
                    kind=str(entry.kind),
                    document_hash=document.body_hash(),
                    document=None if own else document.to_json(),
                )
            )
            row = session.get_one(OwnAccount, 1)
            row.number, row.head = after.number, after.head
            row.public, row.private = _as_json(after.state.public), _as_json(after.state.private)
        return adopted

    def _mark_sent(self, session: Session, document: SignedDocument, number: int, adopt: bool) -> bool:
        """Note which entry has a document of the institution's own; return whether it was adopted.

        Raises:
            EntryUnsent: this directory never sent it.
        """
        row = find_sent(session, document.body_hash())
        unknown = row is None
        if row is None:
            if not adopt:
                raise EntryUnsent(unsent(number, document, self._settings.directory))
            _log.warning("entry %s: a %s that this directory did not send is taken over", number, document.type)
            stored_at = self._settings.clock().isoformat()
            row = OwnDocument(
                sha256=document.body_hash(), type=document.type, document=document.to_json(), stored_at=stored_at
            )
            session.add(row)
        row.entry = number
        return unknown

    def _check_place(self, entry: Entry, signed: SignedDocument) -> None:
        """Check log and ticks of an entry."""
        with self._store.unit_of_work() as session:
            account = session.get_one(OwnAccount, 1)
        if entry.log != account.log:
            raise EntryForged(f"entry {entry.number} is in another log", entry=signed.to_json())
        self._chain.follow(entry.at, signed.to_json())

    def _check_event(self, entry: Entry, signed: SignedDocument, document: SignedDocument, after: Chain) -> None:
        """Check what neither the machine nor the document's own proof can say."""
        shown = {"entry": signed.to_json(), "document": document.to_json()}
        try:
            if document.type == "admission":
                self._check_admission(AdmissionRecord.parse(document.body))
            elif document.type == "universe-revision":
                self._universes.take(UniverseRevision.parse(document.body).universe)
            elif document.type == "overdue":
                self._check_overdue(Overdue.parse(document.body))
            elif document.type == "settlement":
                check_settlement(*self._of_run(), Settlement.parse(document.body))
            elif document.type == "opened":
                check_found(*self._of_run(), document)
            elif document.type == "dispute-lapse":
                check_lapse(self._chain, DisputeLapse.parse(document.body))
            elif document.type == "maturity":
                check_paid(self._chain, self._terms, Maturity.parse(document.body))
            elif document.type in custody.CHECKED:
                custody.check(document, self._settings.trust, self._settings.institution)
                if document.type == CustodyAmendment.TYPE:
                    custody.check_terms(CustodyAmendment.parse(document.body).custody, self._terms)
            elif document.type == "netting":
                check_netting(Netting.parse(document.body))
            elif document.type in defaults.CHECKED:
                defaults.check(document, self._settings.trust, self._terms, self._chain.market_of)
        except EntryIllegal as refusal:
            raise type(refusal)(f"entry {entry.number}: {refusal}", **shown | refusal.evidence) from refusal

    def _check_admission(self, admission: AdmissionRecord) -> None:
        # The key may have been replaced since, if the trust file names the first one: `_require_key` asks at the end.
        first = self._settings.trust.institutions.get(self._settings.institution, self._identity)
        for name, wanted in (
            ("institution", self._settings.institution),
            ("identity", self._identity if admission.identity == self._identity else first),
            ("operator", self._operator),
            ("terms", terms_hash(self._terms)),
            ("universe", self._settings.trust.universe),
        ):
            if getattr(admission, name) != wanted:
                raise EntryIllegal(f"the account was opened for another {name} than is pinned here")
        check_pinned(admission, self._settings.trust, self._settings.institution)
        custody.check_terms(admission.custody, self._terms)

    def _check_overdue(self, overdue: Overdue) -> None:
        with self._store.unit_of_work() as session:
            row = session.query(OwnEntry).filter_by(document_hash=overdue.run).one()
        record = RunRecord.parse((row.document or {})["body"])
        try:
            elapsed = check_overdue(self._settings, self._store, overdue, record)
        except EntryIllegal as refusal:
            raise EntryIllegal(str(refusal), seen=row.document) from refusal
        if elapsed is not None:
            keep_undelivered(self._settings, self._store, self._chain.contradictions, record, overdue, elapsed)

    def _of_run(self) -> tuple[InstitutionStore, MarketChain, Terms, TrustFile, Account]:
        """Return what `settled` checks by, with the account just before the entry that is checked."""
        if self._account.state is None:
            raise TypeError("what a run ended with was followed without an account")
        return self._store, self._chain, self._terms, self._settings.trust, self._account.state

    def _keep_contradiction(self, refusal: EntryRefused) -> None:
        """Keep what the operator signed; what anybody could have sent proves nothing."""
        try:
            shown = SignedDocument.parse(refusal.evidence.get("entry"))
            shown.verify(frozenset({self._operator}))
        except (DocumentsError, RequestError):
            return
        with self._store.unit_of_work() as session:
            last = session.get(OwnEntry, self._account.number)
        evidence = {} if last is None else {"last": last.entry}
        self._chain.contradictions.keep(f"entry-{shown.body_hash()[:24]}", str(refusal), evidence | refusal.evidence)


def _as_json(state: PublicState | PrivateState) -> JsonObject:
    value = state.canonical()
    if not isinstance(value, dict):
        raise TypeError("a state is a JSON object")
    return dict(value)
