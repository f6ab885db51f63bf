"""What games of orders share: an account, every document ever made of it, and what is so."""

from collections.abc import Mapping

from hypothesis import strategies as st

from atomic_margin.service.errors import IllegalTransition, InsufficientFunds
from atomic_margin.service.protocol.account.events import EventKind, read_event
from atomic_margin.service.protocol.account.releases import remaining_of
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import Parties
from .releasing import release
from .rotating import Rotating
from .truth import NEEDS, Truth, brought_home, worth

K = EventKind
REFUSED = (IllegalTransition, InsufficientFunds)
# Each tick needs something else of each kind of book, and a book that needs nothing is always among them.
TICKS = st.permutations(NEEDS[1:]).map(lambda rest: (0, *rest))
KINDS = st.integers(0, len(NEEDS) - 1)
OFTEN_RIGHT = st.sampled_from(["right"] * 4 + ["old", "older"])
SELDOM = st.sampled_from([False, False, False, True])
ANY = st.integers(0, 10**6)


class Played(Rotating):
    """What both games share: an account, its documents, and what is so."""

    def __init__(self) -> None:
        super().__init__()
        self.parties = self.begun()
        self.truth = Truth(self.parties.unit)
        self.documents: list[SignedDocument] = []
        self.records: dict[str, SignedDocument] = {}
        self.books = 0

    def begun(self) -> Parties:
        return Parties()

    @property
    def state(self) -> Account:
        return self.parties.state

    def opened(self) -> None:
        """Open the account, and bring its collateral."""
        parties = self.parties
        for document in (
            parties.admission(),
            parties.deposit(1000 * parties.unit),
            parties.enrolment(1),
            parties.confirmation(1),
        ):
            self.made(parties.enter(document))

    def submission(self, name: str, sequence: int, keys: int = 1) -> SignedDocument:
        document = self.made(self.parties.submission(sequence, name, keys))
        self.truth.names[document.body_hash()] = name
        return document

    def settling(self, name: str, sequence: int) -> SignedDocument:
        """A book that settles losses: ten dollars of what is posted leave."""
        document = self.made(self.parties.settling(sequence, name, 10 * self.parties.unit))
        self.truth.names[document.body_hash()] = name
        return document

    def new_name(self, kind: int) -> str:
        self.books += 1
        return f"book-{self.books}-{kind}"

    def made(self, document: SignedDocument) -> SignedDocument:
        self.documents.append(document)
        if document.type == "run":
            self.records[document.body_hash()] = document
        return document

    def next_tick(self, needs: tuple[int, ...], void: bool) -> None:
        self.parties.tick(void)
        if not void:
            self.truth.ticks[self.parties.newest] = needs

    def kind_of(self, document: SignedDocument) -> EventKind:
        run = self.state.public.run
        return read_event(document, owes=run is None or run.owes).kind

    def covers(self, submission: str) -> bool:
        """Return whether what is posted covers a book at the newest prices."""
        return self.truth.missing(submission, self.parties.market, dict(self.state.public.posted)) <= 0

    def releasing(self, asset: str, quantity: int, given: str | None) -> SignedDocument | None:
        """A release of some of an asset, or a substitution by as much of another, if it can be proven, or else nothing.

        Margin is what a book needs; what it says that it gained does not count here, as in the proof.
        """
        public, free = self.state.public, self.state.private.free
        quantity *= self.parties.unit
        if public.posted.get(asset, 0) < quantity or (given is not None and free.get(given, 0) < quantity):
            return None
        moved = {} if given is None else {given: quantity}
        remaining = remaining_of(public.posted, {asset: quantity}, moved)
        worse = worth(remaining) < worth(public.posted)
        book = public.book
        proven = book is not None and self.truth.missing(book.submission, self.parties.market, remaining) <= 0
        if book is not None and not proven and (given is None or worse):
            return None
        proof = proven and (given is None or worse)
        return self.made(release(self.parties, {asset: quantity}, moved or None, proof=proof))

    def teardown(self) -> None:
        if self.parties.chain.state is not None:
            brought_home(self.parties, self.truth, self.records)
            self.replayed()


def total(state: Account) -> int:
    return sum(state.private.free.values()) + sum(state.public.posted.values())


def places(state: Account) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return what is free and what is posted."""
    return state.private.free, state.public.posted


def held(state: Account) -> dict[str, int]:
    """Return what an account has of each asset, free or posted."""
    free, posted = places(state)
    return {asset: free.get(asset, 0) + posted.get(asset, 0) for asset in sorted({*free, *posted})}
