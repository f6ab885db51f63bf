"""An account's chain for tests of the machine: who signs, where the ticks are, and entries one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.protocol.account.entries import Chain, Salts, extended
from atomic_margin.service.protocol.account.state import Account, OpenRun
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .names import named, tick

INSTITUTION = "fund"
LOG = "example.com/log"
TIME = "2026-11-27T12:00:00Z"
SEED = "5e" * 32


@dataclass
class Chained:
    """An institution and an operator, and the chain of the account between them.

    Attributes:
        operator: its identity.
        institution: its identity.
        chain: entries so far.
        entries: signed entries, with their documents.
        newest: number of the newest tick.
        market: number of the newest tick with a market.
        receipted: whether a document for the next tick is receipted.
        salts: of the account.
        unit: smallest units of collateral in a dollar.
        universe: hash of the universe of its books.
        entry_map: hash of their columns.
        agreement: that the account is opened under, if there is one.
        custody: who is to hold shares of its books, if anybody is.
    """

    operator: Identity = field(default_factory=Identity.generate)
    institution: Identity = field(default_factory=Identity.generate)
    chain: Chain = field(default_factory=Chain)
    entries: list[tuple[SignedDocument, SignedDocument]] = field(default_factory=list)
    newest: int = 0
    market: int = 0
    receipted: bool = False
    salts: Salts = field(default_factory=lambda: Salts(SEED))
    unit: int = 1
    universe: str = named("universe")
    entry_map: str = named("map")
    agreement: CollateralAgreement | None = None
    custody: CustodyPolicy | None = None

    @property
    def state(self) -> Account:
        """The account."""
        assert self.chain.state is not None
        return self.chain.state

    @property
    def run(self) -> OpenRun:
        """The open run."""
        assert self.state.public.run is not None
        return self.state.public.run

    @property
    def at(self) -> At:
        """Where the next event stands."""
        return self.place(self.newest, self.market, self.receipted)

    def place(self, newest: int, market: int, receipted: bool = False) -> At:
        """Where an event stands, by the numbers of the newest tick and of the newest one with a market."""
        hashes = self.tick_hash(newest), self.tick_hash(market)
        return At(newest, hashes[0], market, hashes[1], receipted=newest + receipted)

    def tick_hash(self, number: int) -> str:
        """Return the hash of a tick."""
        return tick(number)

    def usd(self, top_up: int) -> str:
        """Return what a top-up is worth."""
        return "10"

    def moves(self, top_up: int) -> list[tuple[str, int, str, str]]:
        """Return what settles a breach: the call, or everything if free collateral does not reach it."""
        free, posted = self.state.private.free, self.state.public.posted
        if free.get("USDC", 0) >= top_up:
            return [("USDC", top_up, "free", "posted")]
        held = (("free", free), ("posted", posted))
        return [(asset, left, source, "liquidation") for source, place in held for asset, left in place.items()]

    def tick(self, void: bool = False) -> None:
        """Let the next tick come."""
        self.newest, self.receipted = self.newest + 1, False
        if not void:
            self.market = self.newest

    def enter(self, document: SignedDocument) -> SignedDocument:
        """Enter a document as the operator does; return the document."""
        self.append(*extended(self.chain, document, self.at, self.salts, LOG, self.operator, TIME), document)
        return document

    def append(self, chain: Chain, entry: SignedDocument, document: SignedDocument) -> None:
        """Go on to a chain that has one more entry."""
        self.chain = chain
        self.entries.append((entry, document))

    def by_operator(self, kind: type[Body], body: dict[str, Any]) -> SignedDocument:
        """Return a document of the operator's."""
        whole = {"institution": INSTITUTION, "operator": self.operator.public_key, **body}
        return kind.parse(whole).signed_by(self.operator)

    def by_institution(self, kind: type[Body], body: dict[str, Any]) -> SignedDocument:
        """Return a document of the institution's."""
        whole = {"institution": INSTITUTION, "operator": self.operator.public_key, **body}
        return kind.parse(whole).signed_by(self.institution)

    @contextmanager
    def signing(self, identity: Identity) -> Iterator[None]:
        """Let somebody else sign in the institution's place."""
        own, self.institution = self.institution, identity
        try:
            yield
        finally:
            self.institution = own
