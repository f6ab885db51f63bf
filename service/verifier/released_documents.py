"""Documents of a released history, held against prices, the collateral schedule, and what the trust file pins.

That each step is legal, `released.check_released` says before. Here is what the account machine cannot say, by what
everybody can read: the same that an agent checks as it follows its account (`institution.history`) and a reader of an
archive (`archived_documents`), of whatever documents are shown. Of proofs, those of releases and substitutions are
checked (`releases`): by them collateral leaves.

What the operator signed against the schedule of the account's terms, or against prices that it published, contradicts
it. What is under other terms, rules, agreements or clocks than the trust file pins may be right by another trust file:
that is `Unpinned`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused, SaleRefused
from atomic_margin.service.log.clock import check_deadline
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.log.netted import check_netting
from atomic_margin.service.protocol.account.default_documents import Sale
from atomic_margin.service.protocol.account.entries import Entry
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.events import Event, EventKind, Overdue, read_event
from atomic_margin.service.protocol.account.identities import keys_shown
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.account.opening_documents import Opened, OpeningRequest
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.account.values import body_of
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.disputes import DisputeLapse
from atomic_margin.service.protocol.documents import Answer, Enrolment, RunRecord, Settlement
from atomic_margin.service.protocol.keys import key_pair
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.maturities import check_maturity
from atomic_margin.service.protocol.released import ReleasedEntry, ReleasedHistory
from atomic_margin.service.protocol.sales import check_sale
from atomic_margin.service.protocol.settlements import check_settled
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import named_terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import Contradiction, LogUnreadable, Unpinned
from atomic_margin.service.verifier.opened import check_resharing, check_sharing, check_verdicts_of, pinned_if_any
from atomic_margin.service.verifier.pinned import Agreements, check_waterfall
from atomic_margin.service.verifier.released import LogRead, as_released
from atomic_margin.service.verifier.releases import Releases
from atomic_margin.service.verifier.served_terms import ServedTerms
from atomic_margin.zk.errors import BackendUnavailable, GeneratorError
from atomic_margin.zk.groups import load_group

JsonObject = dict[str, Any]


def check_documents(history: ReleasedHistory, trust: TrustFile, log: LogRead) -> tuple[str, ...]:
    """Check every document that a history shows; return what counted no agreement though the trust file pins some.

    Args:
        history: whose steps are legal.
        trust: the reader's anchors.
        log: as it was read for the history; prices and terms are read where it was.

    Raises:
        Contradiction: the operator signed what schedule or prices do not say, or let go what was not proven.
        Unpinned: the account is under something else than the trust file pins.
        LogUnreadable: prices or terms are not served, or are others.
        BackendUnavailable, GeneratorError: proofs cannot be verified here.
    """
    documents = _Documents(trust, log)
    with _pinned(""):
        rotations = [item.document for item in history.entries if item.public.former and _rotates(item)]
        documents.require_terms(history.entries[0].public, rotations)
        documents.require_universe([one.universe for item in history.entries for one in item.public.universes])
    for item in history.entries:
        documents.take(item)
    with _pinned(""):
        return documents.agreements.conclude(history.entries[-1].public)


def _rotates(item: ReleasedEntry) -> bool:
    """Return whether an entry is about another identity key."""
    return item.document is not None and item.document.get("type") == IdentityRotation.TYPE


class _Documents:
    """Takes what is shown, entry by entry."""

    def __init__(self, trust: TrustFile, log: LogRead) -> None:
        self.trust, self.log, self.agreements = trust, log, Agreements(trust)
        self._terms, self._releases = ServedTerms(log.served, trust), Releases()
        self._keys: dict[str, str] = {}
        self._heads: set[str] = set()
        self._runs: dict[str, tuple[RunRecord, bytes]] = {}
        self._answer: tuple[str, Answer | Opened, ReleasedEntry] | None = None
        self._custodians: CustodyPolicy | None = None
        self._owes = True

    def require_terms(self, public: PublicState, rotations: Sequence[object]) -> None:
        """Make sure that the account is of the pinned key and under the pinned terms.

        Args:
            public: the first state.
            rotations: of its key, which the machine took.

        Raises:
            Refused: it is not.
        """
        key, trust = self.trust.institutions.get(public.institution), self.trust
        if key is None:
            raise Refused(
                f"the trust file does not name {public.institution!r}; add the key that the institution gave you, with "
                "`trust --institution NAME=KEY`",
                "identity",
            )
        if public.identity != keys_shown(key, rotations, public.institution, trust.operator)[0]:
            raise Refused(f"the trust file names another key of {public.institution!r}", "identity")
        profile = self._terms.profile
        if profile is None or named_terms(trust.model, trust.schedule, profile) != public.terms:
            raise Refused("the account is under other terms than the trust file pins", "terms")

    def require_universe(self, universes: Sequence[str]) -> None:
        """Make sure that the account was in the pinned universe, or that the operator's revisions lead there.

        Raises:
            Refused: they do not.
            LogUnreadable: revisions are not served.
        """
        if not self._terms.leads_to(universes):
            raise Refused("no revision leads from the universe that the trust file pins to the account's", "universe")

    def take(self, item: ReleasedEntry) -> None:
        """Check a document that is shown, after the machine."""
        signed, public = SignedDocument.parse(item.entry), item.public
        entry = Entry.parse(signed.body)
        named = f"entry {entry.number}, '{entry.kind}',"
        if item.document is not None:
            document = SignedDocument.parse(item.document)
            event = read_event(document, self._owes, verified=document.body_hash())
            with _pinned(named):
                check_waterfall(event.body, self.trust)
                if entry.kind in COUNTING:
                    run = event.body.run_id if isinstance(event.body, RunRecord) else f"entry {entry.number}"
                    self.agreements.count(run, public)
                if isinstance(event.body, RunRecord):
                    self._runs = {event.document: (event.body, entry_leaf(signed).to_bytes())}
                if isinstance(event.body, Overdue):
                    self.overdue(event.body)
                if isinstance(event.body, Answer | Opened):
                    self._answer = (event.document, event.body, item)
                if isinstance(event.body, OpeningRequest):
                    self._custodians = pinned_if_any(self.trust, event.body.institution, event.body.policy)
                if isinstance(event.body, Resharing):
                    check_resharing(event.body, self.trust)
                if isinstance(event.body, Enrolment):
                    self.enrolled(event.body)
                if entry.kind in SUBMITTING:
                    self.submitted(item, document)
            check = SHOWN.get(entry.kind)
            if check is not None:
                check(self, item, event)
        self._owes = public.run is None or public.run.owes
        self._heads.add(signed.body_hash())

    def overdue(self, body: Overdue) -> None:
        """Make sure that the time to answer was over, by the witnesses' clocks where the trust file names some.

        Raises:
            Refused, LogError: it was not.
        """
        record, leaf = self._runs[body.run]
        if self.trust.log is not None:
            check_deadline(body.begins, body.ends, leaf, record.answer_seconds, self.trust.log)
        elif body.declared_at < record.deadline:
            raise Refused(f"the run was declared overdue before {record.deadline}, its deadline", "declared_at")

    def enrolled(self, body: Enrolment) -> None:
        """Keep what the institution says that its keys are."""
        if self._terms.profile is not None:
            self._keys[body.evaluation_keys] = key_pair(self._terms.profile, body.input_key, body.flag_key).hash

    def submitted(self, item: ReleasedEntry, document: SignedDocument) -> None:
        """Make sure that a book was made for this account, and is under pinned keys.

        Raises:
            Refused: it was not, or is not.
        """
        submission = self._releases.submitted(item, document)
        if submission.entry not in self._heads:
            # The operator draws the pseudonym: it could keep a second account of genuine documents beside the one that
            # the institution knows, and have runs there that nobody answers.
            raise Refused(
                "the book names an entry that is none of this account's: it was made for another one", "entry"
            )
        keys = self._keys.get(submission.evaluation_keys)
        if keys is None:
            raise Refused("the history does not have the enrolment of the book's keys", "keys")
        unpinned = self.trust.unpinned(submission.institution, keys)
        if unpinned is not None:
            raise Refused(unpinned, "keys")
        if submission.sharing is not None:
            # Which policy is pinned says nothing of the operator; what was signed does.
            pinned_if_any(self.trust, submission.institution, submission.sharing.policy)
            with self._signed(item, said="custodians signed"):
                check_sharing(submission, self.trust)

    def came_back(self, item: ReleasedEntry, event: Event) -> None:
        """Check that margin remained, or that no less was given than taken; and the agreement's minimum return."""
        release, document = body_of(event, Release), SignedDocument.parse(item.document)
        with _pinned(""):
            book = self._releases.book_of(release)
        agreement = item.public.agreement
        if book is None and (agreement is None or not agreement.minimum_return_amount):
            # There is nothing that it could have been too little for.
            return
        universe = None if book is None else book.submission.universe
        market, tick = self._priced(release.price_sequence) if release.price_sequence else (None, None)
        terms, shown = self._terms.terms(universe), self._terms.shown(universe)
        shown = [*([] if tick is None else [tick]), *shown, *([] if book is None else [as_released(book.item)])]
        with self._signed(item, *shown, said="may come back"):
            self._releases.check(document, item.public, market, terms, load_group())

    def matured(self, item: ReleasedEntry, event: Event) -> None:
        """Check what came in for an asset that matured."""
        body = body_of(event, Maturity)
        market, tick = self._priced(body.price_sequence)
        with self._signed(item, tick, self._schedule_shown):
            check_maturity(body, self._terms.schedule, market)

    def sold(self, item: ReleasedEntry, event: Event) -> None:
        """Check limit and value of a sale."""
        body = body_of(event, Sale)
        market, tick = self._priced(body.price_sequence)
        with self._signed(item, tick, self._schedule_shown):
            check_sale(body, market, self._terms.schedule)

    def settled(self, item: ReleasedEntry, event: Event) -> None:
        """Check that a settlement is of what its answer proved; what that moves depends on what is kept back."""
        body = body_of(event, Settlement)
        answered, answer, shown = self._answer or (None, None, None)
        if answer is None or shown is None or answered != body.answer:
            raise TypeError("a settlement was followed without its answer")
        with self._signed(item, as_released(shown), said="was proven"):
            check_settled(body, answer)

    def opened(self, item: ReleasedEntry, event: Event) -> None:
        """Check that custodians of the policy that the request names signed what was found."""
        if self._custodians is not None:
            with self._signed(item, said="custodians signed"):
                check_verdicts_of(body_of(event, Opened), self._custodians)

    def netted(self, item: ReleasedEntry, event: Event) -> None:
        """Check that what is shown of a cycle is in its tree."""
        with self._signed(item):
            check_netting(body_of(event, Netting))

    def lapsed(self, item: ReleasedEntry, event: Event) -> None:
        """Check the times of the prices by which a dispute lapses."""
        body = body_of(event, DisputeLapse)
        for what, named in (("begins", body.begins), ("ends", body.ends)):
            if named.price_sequence not in self.log.ticks:
                # From before the log.
                continue
            market, tick = self._priced(named.price_sequence)
            priced_at = instant_text(market.as_of)
            with self._signed(item, tick):
                if named.priced_at != priced_at:
                    raise Refused(f"the dispute {what} at prices of {priced_at}, it says {named.priced_at}", what)

    def _priced(self, number: int) -> tuple[Market, JsonObject]:
        """Return prices of a tick of the log, and what shows them."""
        signed, seen = self.log.served.document(f"v1/ticks/{number}"), self.log.ticks.get(number)
        market = PriceTick.parse(signed.body).market if seen is not None and signed.body_hash() == seen.tick else None
        if market is None:
            raise LogUnreadable(f"tick {number} that is served is not the one of the log, or has no prices")
        return market, {"kind": "tick", "document": signed.to_json()}

    @property
    def _schedule_shown(self) -> JsonObject:
        return {"kind": "schedule", "document": self._terms.schedule.canonical()}

    @contextmanager
    def _signed(self, item: ReleasedEntry, *shown: JsonObject, said: str = "schedule and prices say") -> Iterator[None]:
        """Have what does not hold be the operator's contradiction."""
        try:
            yield
        except (Refused, SaleRefused, EntryIllegal) as error:
            if isinstance(error.__cause__, GeneratorError | BackendUnavailable):
                # This installation is at fault, not the operator.
                raise error.__cause__ from None
            entry = Entry.parse(item.entry["body"])
            reason = f"entry {entry.number}, '{entry.kind}', is not what {said}: {error}"
            raise Contradiction(reason, [*self.log.shown(), *shown, as_released(item)]) from error


@contextmanager
def _pinned(named: str) -> Iterator[None]:
    try:
        yield
    except (Refused, LogError) as error:
        raise Unpinned(f"{named} {error}".strip()) from error


COUNTING = frozenset({EventKind.RUN_RECORDED, EventKind.COVERED_UNASKED, EventKind.RELEASED, EventKind.SUBSTITUTED})
"""What counts the figures of an agreement."""
SUBMITTING = frozenset({EventKind.SUBMITTED, EventKind.LOSSES_SETTLED})
"""What brings a book."""

SHOWN: Mapping[EventKind, Callable[[_Documents, ReleasedEntry, Event], None]] = {
    EventKind.MATURED: _Documents.matured,
    EventKind.FREE_MATURED: _Documents.matured,
    EventKind.MARGIN_CALLED: _Documents.settled,
    EventKind.LIQUIDATED: _Documents.settled,
    EventKind.COLLATERAL_SOLD: _Documents.sold,
    EventKind.OPENED_COVERED: _Documents.opened,
    EventKind.OPENED_IN_BREACH: _Documents.opened,
    EventKind.NETTED: _Documents.netted,
    EventKind.DISPUTE_LAPSED: _Documents.lapsed,
    EventKind.RELEASED: _Documents.came_back,
    EventKind.SUBSTITUTED: _Documents.came_back,
}
"""What is held against terms and prices; rules, agreements, keys and deadlines besides."""
