"""Both parties with what readers look at: genuine ticks, terms, snapshots of the account, and the leaves of the log.

Ticks are signed by a source, combined and chained; each is made once and kept. What a book needs at one is up to the
game and not to its prices: the terms here are the example's, but for the matrices, which say what the game says.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import STANDARD
from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.matrix import Place
from atomic_margin.service.feed.source import sign_market
from atomic_margin.service.protocol.account.entries import Chain
from atomic_margin.service.protocol.account.events import AdmissionRecord
from atomic_margin.service.protocol.account.values import book_at
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.leaves import entry_leaf, price_leaf, tick_leaf
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.terms import AccountColumns, Columned, Terms, terms_hash
from atomic_margin.service.protocol.ticks import NO_TICK, place_after

from ...lines import FLAT, portfolio_json
from ..documents import example, price_rules
from ..tick_server import Ticks
from .documents import Parties, named

USDC = 10**6
OPERATOR, FUND, SOURCE = Identity.generate(), Identity.generate(), Identity.generate()
RULES = price_rules(SOURCE)
FIRST = datetime(2026, 11, 20, tzinfo=timezone.utc)
MARKET = example("market-1")


@dataclass(frozen=True)
class MarkedMatrix:
    """Stands for a matrix: its one row is what is posted, less what books of each kind need."""

    name: str
    number: int
    posted: dict[str, int]
    needs: tuple[int, ...]

    def hash(self) -> str:
        return named(self.name, self.number, sorted(self.posted.items()))

    def surplus(self, z: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.array([self.posted.get("USDC", 0) - self.needs[int(z.sum())] * USDC])


class MarkedMatrices:
    """Stands for the matrices of a run."""

    def __init__(self, number: int, posted: Mapping[str, int], needs: tuple[int, ...]) -> None:
        values = number, dict(posted), needs
        self.maintenance_fhe = MarkedMatrix("maintenance_fhe", *values)
        self.maintenance_proof = MarkedMatrix("maintenance_proof", *values)
        self.initial_fhe = MarkedMatrix("initial_fhe", *values)
        self.initial_proof = MarkedMatrix("initial_proof", *values)

    def of(self, kind: MarginKind, place: Place) -> MarkedMatrix:
        found: MarkedMatrix = getattr(self, f"{kind}_{place}")
        return found


class MarkedTerms(Terms):
    """The example's terms, whose matrices say what the game says; `needs` by number of the tick."""

    needs: ClassVar[Mapping[int, tuple[int, ...]]] = {}

    def compile(self, market: Market, posted: Mapping[str, int], account: Columned, *counted: Any) -> Any:
        return MarkedMatrices(market.sequence, posted, self.needs[market.sequence])


TERMS = MarkedTerms.parse(example("model-scan"), example("universe"), example("collateral-schedule"), STANDARD)
TERMS_HASH = terms_hash(TERMS)
UNIVERSE = TERMS.universe.hash()


def portfolio(kind: int) -> dict[str, Any]:
    """Return a book of a kind: as many lots."""
    return portfolio_json(("BTC-PERP", "long", kind)) if kind else FLAT


@dataclass(frozen=True)
class MadeTick:
    """A tick, its hash, and its leaves with those of what sources signed for it."""

    signed: SignedDocument
    hash: str
    leaves: tuple[bytes, ...]


_MADE: dict[tuple[bool, ...], MadeTick] = {}


def made_tick(voids: tuple[bool, ...]) -> MadeTick:
    """Return the last tick of a chain, by which of its ticks are void."""
    if voids not in _MADE:
        ticks = Ticks(RULES, SOURCE, operator=OPERATOR)
        ticks.signed = [made_tick(voids[:number]).signed for number in range(1, len(voids))]
        if voids[-1]:
            signed = ticks.void()
        else:
            market = Market.parse(MARKET | {"as_of": instant_text(prices_at(len(voids)))})
            signed = ticks.take([sign_market(SOURCE, market, place_after(ticks.last, RULES))])
        prices = [SignedDocument.parse(price) for price in signed.body["prices"]]
        leaves = [price_leaf(price, signed.body["received_at"]).to_bytes() for price in prices]
        _MADE[voids] = MadeTick(signed, signed.body_hash(), (*leaves, tick_leaf(signed).to_bytes()))
    return _MADE[voids]


def prices_at(number: int) -> datetime:
    """Return when the prices of a tick are from: a minute after those of the one before."""
    return FIRST + timedelta(minutes=number)


def keep_nothing(signed: SignedDocument) -> None:
    """What an institution without an agent does with what it signs."""


@dataclass
class GenuineParties(Parties):
    """Parties whose readers can be real ones.

    Attributes:
        sent: told what the institution signs.
        voids: which ticks so far are void.
        chains: the account after each entry.
        leaves: of the operator's log.
        backdated: whether an entry stands in the log behind a tick that is newer than its own.
        books: bodies of the submissions that were made, by hash.
    """

    operator: Identity = OPERATOR
    institution: Identity = FUND
    unit: int = USDC
    universe: str = UNIVERSE
    entry_map: str = TERMS.columns(AccountColumns(UNIVERSE, 100)).hash()
    sent: Callable[[SignedDocument], None] = keep_nothing
    voids: list[bool] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    backdated: bool = False
    books: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tick(self, void: bool = False) -> None:
        super().tick(void)
        self.voids.append(void)
        self.leaves += self.made(self.newest).leaves

    def made(self, number: int) -> MadeTick:
        return made_tick(tuple(self.voids[:number]))

    def last_market(self, number: int) -> SignedDocument | None:
        """The last tick with a market before one."""
        before = [other for other in range(1, number) if not self.voids[other - 1]]
        return self.made(before[-1]).signed if before else None

    def tick_hash(self, number: int) -> str:
        return self.made(number).hash if number else NO_TICK

    def append(self, chain: Chain, entry: SignedDocument, document: SignedDocument) -> None:
        super().append(chain, entry, document)
        self.chains.append(chain)
        self.leaves.append(entry_leaf(entry).to_bytes())
        self.backdated |= entry.body["tick_sequence"] != str(self.newest)

    def by_institution(self, kind: type[Body], body: dict[str, Any]) -> SignedDocument:
        signed = super().by_institution(kind, body)
        self.sent(signed)
        if signed.type == "submission":
            self.books[signed.body_hash()] = signed.body
        return signed

    def rotation(self, new: Identity, **changes: Any) -> SignedDocument:
        signed = super().rotation(new, **changes)
        self.sent(signed)
        return signed

    @contextmanager
    def signing(self, identity: Identity) -> Iterator[None]:
        """What somebody else signs the institution's agent does not know."""
        sent, self.sent = self.sent, keep_nothing
        try:
            with super().signing(identity):
                yield
        finally:
            self.sent = sent

    def admission(self) -> SignedDocument:
        body = super().admission().body | {"terms": TERMS_HASH}
        return self.by_operator(AdmissionRecord, body)

    def record(self, *, evaluated: bool = True, **changes: Any) -> SignedDocument:
        """The record of a run, which says of the submission that it names what that one says."""
        book = book_at(self.state, self.at)
        about = self.run.submission if evaluated else "" if book is None else book.submission
        submission = self.books[changes.get("submission", about)]
        repeated = ("universe", "entry_map", "gross_limit", "ciphertext", "evaluation_keys", "key_commitments")
        said = {name: submission[name] for name in repeated}
        said["submission_sequence"] = submission["sequence"]
        return super().record(evaluated=evaluated, **TERMS.hashes, **said, **changes)

    def usd(self, top_up: int) -> str:
        return format(Decimal(top_up) / USDC, "f")

    def moves(self, top_up: int) -> list[tuple[str, int, str, str]]:
        rightful = rightful_transfers(
            TERMS,
            Market.parse(MARKET),
            Decimal(self.usd(top_up)),
            counted=self.run.posted,
            free=self.state.private.free,
            posted=self.state.public.posted,
        )
        return [(move.asset, move.quantity, move.source, move.destination) for move in rightful.transfers]
