"""What games of orders share: an account, every document ever made of it, and what is so."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from atomic_margin.service.errors import IllegalTransition, InsufficientFunds
from atomic_margin.service.protocol.account.events import EventKind, read_event
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import Parties
from .truth import NEEDS, Truth, brought_home

K = EventKind
REFUSED = (IllegalTransition, InsufficientFunds)
# Each tick needs something else of each kind of book, and a book that needs nothing is always among them.
TICKS = st.permutations(NEEDS[1:]).map(lambda rest: (0, *rest))
KINDS = st.integers(0, len(NEEDS) - 1)
OFTEN_RIGHT = st.sampled_from(["right"] * 4 + ["old", "older"])
SELDOM = st.sampled_from([False, False, False, True])
ANY = st.integers(0, 10**6)


class Played(RuleBasedStateMachine):
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
        return read_event(document, evaluated=run is None or run.evaluated).kind

    def covers(self, submission: str) -> bool:
        """Return whether what is posted covers a book at the newest prices."""
        return self.truth.missing(submission, self.parties.market, dict(self.state.public.posted)) <= 0

    def teardown(self) -> None:
        if self.parties.chain.state is not None:
            brought_home(self.parties, self.truth, self.records)


def total(state: Account) -> int:
    return sum(state.private.free.values()) + sum(state.public.posted.values())
