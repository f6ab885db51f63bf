"""An account that an operator tells, right or wrong, to the replica of an agent: a kit for tests of histories."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.institution.chain import OperatorContradicts
from atomic_margin.service.institution.contradictions import Contradictions
from atomic_margin.service.institution.history import History
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import (
    InstitutionStore,
    OwnAnswer,
    OwnDocument,
    OwnSubmission,
)
from atomic_margin.service.institution.universes import Universes
from atomic_margin.service.protocol.account.entries import Entry, _hashes
from atomic_margin.service.protocol.account.errors import (
    EntryRefused,
)
from atomic_margin.service.protocol.account.events import AdmissionRecord, read_event
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.messages import Entries, EntryItem
from atomic_margin.service.protocol.settlements import Rightful, rightful_transfers
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import terms_hash
from atomic_margin.service.protocol.trust import TrustFile

from .account.documents import INSTITUTION, LOG, SEED, TIME, Parties
from .bodies import TRUST
from .documents import Json, example, example_terms

TERMS = example_terms()
MARKET = Market.parse(example("market-1"))
USDC = 10**6
Pair = tuple[SignedDocument, SignedDocument]


class SeenTicks:
    """The agent's market chain, as far as a history asks it."""

    def __init__(self, folder: Path) -> None:
        self.contradictions, self.followed = Contradictions(folder), list[At]()
        self.contradicts = False

    def follow(self, at: At, entry: Json) -> None:
        if self.contradicts:
            raise OperatorContradicts("two ticks of one number")
        self.followed.append(at)

    def market_of(self, number: int, wanted: str) -> Market:
        return MARKET


class Told(Parties):
    """Both parties, and an agent that is told of the account; what the institution signs, its agent stores first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(universe=TRUST["universe"])
        self.folder, self.page, self.seed, self.log = folder, 100, SEED, LOG
        self.store = InstitutionStore(folder)
        self.shown = self.entries
        self.asked: list[int] = []
        self.pins: Json = {}  # of agreements, in the trust file
        self.history = self.started()

    def started(self) -> History:
        """An agent's history in a new process."""
        trust = TrustFile.parse({**TRUST, "operator": self.operator.public_key, **self.pins})
        settings = AgentSettings(self.folder, INSTITUTION, "", trust, 100, None)
        self.ticks = SeenTicks(self.folder)
        universes = Universes(self.folder, TERMS, lambda hash_: None)
        identity = self.institution.public_key
        return History(settings, TERMS, identity, self.store, self.ticks, self.fetch, universes)  # type: ignore[arg-type]

    def fetch(self, after: int) -> Entries:
        self.asked.append(after)
        page = self.shown[after : after + self.page]
        items = [EntryItem(entry=entry.to_json(), document=document.to_json()) for entry, document in page]
        return Entries(log=self.log, seed=self.seed, entries=tuple(items), more=len(self.shown) > after + self.page)

    def admission(self, **changes: Any) -> SignedDocument:
        body = super().admission().body | {"terms": terms_hash(TERMS), "universe": TRUST["universe"]}
        return self.by_operator(AdmissionRecord, body | changes)

    def by_institution(self, *arguments: Any) -> SignedDocument:
        return self.known(super().by_institution(*arguments))

    def known(self, signed: SignedDocument) -> SignedDocument:
        common = {"sha256": signed.body_hash(), "document": signed.to_json(), "stored_at": TIME}
        row: OwnSubmission | OwnAnswer | OwnDocument
        if signed.type == "submission":
            row = OwnSubmission(sequence=int(signed.body["sequence"]), portfolio={}, blindings=[], **common)
        elif signed.type == "answer":
            body = signed.body
            row = OwnAnswer(run_id=body["run_id"], price_sequence=1, run_hash=body["run"], figures={}, **common)
        else:
            row = OwnDocument(type=signed.type, **common)
        with self.store.unit_of_work() as session:
            session.add(row)
        return signed

    def booked(self) -> None:
        """Go on until a book is in force and a run at the first tick after it may begin."""
        self.enter(self.admission())
        self.enter(self.deposit(2 * 10**6 * USDC))
        self.enter(self.enrolment(1))
        self.enter(self.confirmation(1))
        self.enter(self.instruction(1, "post", 10**6 * USDC))
        self.enter(self.submission(1, "first"))
        self.tick()

    def recorded(self, **changes: Any) -> None:
        self.booked()
        self.enter(self.run_opened())
        self.enter(self.record(**changes))

    def breached(self, usd: str = "10") -> Rightful:
        """Go on until a breach waits for its settlement; return what has to settle it."""
        self.recorded()
        self.enter(self.answer("breach", top_up_usd=usd))
        return rightful_transfers(
            TERMS,
            MARKET,
            Decimal(usd),
            counted=self.run.posted,
            free=self.state.private.free,
            posted=self.state.public.posted,
        )

    def forced(self, document: SignedDocument, **changes: Any) -> Pair:
        """Sign an entry about a document whatever the machine says, as an operator that cheats does."""
        number, at = self.chain.number + 1, self.at
        body = {
            "log": LOG,
            "operator": self.operator.public_key,
            "account": self.salts.account,
            "number": str(number),
            "previous": self.chain.head,
            "kind": read_event(document).kind,
            **_hashes(self.salts, number, document, self.state),
            "tick": at.tick_hash,
            "tick_sequence": str(at.tick),
            "market": at.market_hash,
            "market_sequence": str(at.market),
            "receipted": str(at.receipted),
            "entered_at": TIME,
        }
        return Entry.parse(body | changes).signed_by(self.operator), document

    def refuses(self, kind: type[EntryRefused], words: str, *pair: Pair) -> None:
        """Show entries, with a wrong one last: it is refused in every round, and those before it are followed."""
        self.shown = [*self.entries, *pair]
        for agent in (self.history, self.started()):
            with pytest.raises(kind, match=words):
                agent.sync()
            assert (agent.head, agent.state) == (self.chain.head, self.state)

    @property
    def evidence(self) -> list[Json]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "contradictions").glob("*.json"))]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)
