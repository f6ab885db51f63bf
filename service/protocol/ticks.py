"""The documents of a tick: what a source signs, the prices as they are sent, and the tick as the operator records it.

Ticks are a chain. Their numbers have no gap, each names the hash of the one before, and what a source signs names it
too, so an operator that tells two histories cannot have prices for both. The first has number 1 and follows nothing:

>>> from atomic_margin.service.protocol.price_rules import MAX_SOURCES, PriceRules
>>> bounds = {"price": "0.02", "volatility": "0.05", "rate": "0.01"}
>>> rules = PriceRules.parse({"format": "atomic-margin/price-rules/1", "sources": ["1a" * 32], "required": "1",
...                           "max_skew_seconds": "30", "max_age_seconds": "unbounded",
...                           "outlier": bounds, "move": bounds})
>>> place_after(None, rules).sequence
1
"""

from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import PlainValidator, field_validator, model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Document, ListOf, Part, problem
from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.price_rules import MAX_SOURCES, PriceRules
from atomic_margin.service.protocol.rule_changes import RulesChange
from atomic_margin.service.protocol.signing import SignedDocument

NO_TICK = "0" * 64
"""What stands where the hash of a tick would, if there is none."""

Reason = Literal["malformed", "sequence", "twice", "rules", "previous", "stale", "early", "outlier"]


MAX_OF_SOURCE = 2
"""Documents of one source for one tick. A third one would add nothing: two are enough for it to count as none."""
MAX_DOCUMENTS = MAX_OF_SOURCE * MAX_SOURCES
"""Documents of one tick."""


def _quote(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or not value.isascii() or not value.isprintable():
        raise ValueError("the path of a quote is 1 to 256 printable ASCII characters")
    return value


QuotePath: TypeAlias = Annotated[str, PlainValidator(_quote)]


class Price(Body):
    """What a source signs: a market, under which rules, and after which tick. The market's number is the tick's.

    Attributes:
        rules: hash of the price rules it is meant for.
        previous: hash of the tick before; 64 zeros in the first.
        last_market: hash of the last tick before that had a market, under the same rules without a change between; 64
            zeros if there is none. It is what the bound of a move is measured from.
        market: the source's market.
    """

    TYPE = "price"
    rules: Hash
    previous: Hash
    last_market: Hash
    market: Market


class PriceSet(Document):
    """What is posted to make a tick, format ``atomic-margin/prices/2``. Not signed: its parts are.

    Attributes:
        sequence: number of the tick.
        prices: documents of type `price`.
    """

    TAG: ClassVar[str] = "prices"

    format: Literal["atomic-margin/prices/2"]
    sequence: Counter
    prices: ListOf[SignedDocument]

    @field_validator("prices", mode="before")
    @classmethod
    def _few(cls, value: object) -> object:
        # Before any of them is looked at: each has a key to check.
        if isinstance(value, list) and len(value) > MAX_DOCUMENTS:
            raise problem(MalformedDocument, f"at most {MAX_DOCUMENTS} documents here, got {len(value)}")
        return value


class Dropped(Part):
    """A source whose document does not count in a tick.

    Attributes:
        source: its public key.
        reason: `malformed` (no price document), `sequence` (of another tick), `twice` (it signed two for this tick, so
            none counts), `rules` (under other price rules), `previous` (after another tick), `stale` or `early` (by
            its time), `outlier` (a quote too far from the median).
        quote: path of the quote that is an outlier, the first in the order of paths; otherwise absent.
    """

    source: PublicKey
    reason: Reason
    quote: Annotated[str, PlainValidator(_quote)] | None = None


class Staged(Part):
    """Prices that moved further than the bound, kept until sources confirm them; nothing rests on them.

    Attributes:
        quote: path of the first quote beyond the bound, in the order of paths.
        since: time of the first of the staged prices before these without a gap, each within the bound of the one
            before it; their own time if there is none.
        market: the combined prices.
    """

    quote: QuotePath
    since: Time
    market: Market


class PriceTick(Body):
    """A tick as the operator records and signs it; everything in it can be recomputed from the sources' signatures.

    A tick without a market is *void*: no prices could be made of what was sent. It uses up its number. If it has
    `staged`, prices were made and moved too far: no run is on it, and it has no part in what a move is measured from.

    Attributes:
        rules: hash of the price rules.
        sequence: number of the tick; one more than that of the tick before, 1 in the first.
        previous: hash of the tick before; 64 zeros in the first.
        last_market: as in `Price`; the documents that count name the same.
        received_at: operator's time at which the prices arrived.
        prices: all documents that were sent, those that were dropped too.
        dropped: which do not count, and why, in the order they were found; none in a void tick.
        market: the combined prices; absent in a void tick.
        changes: every change of price rules so far, in order; absent if there was none.
        staged: prices beyond the bound of a move; absent in every other tick.
        confirms: the staged tick before, signed, in a tick that goes on from it; absent in every other.
    """

    TYPE = "tick"
    TAG = "tick"
    rules: Hash
    sequence: Counter
    previous: Hash
    last_market: Hash
    received_at: Time
    prices: ListOf[SignedDocument]
    dropped: ListOf[Dropped]
    market: Market | None = None
    changes: ListOf[RulesChange] | None = None
    staged: Staged | None = None
    confirms: SignedDocument | None = None

    @model_validator(mode="after")
    def _check(self) -> "PriceTick":
        if self.sequence < 1 or (self.sequence == 1) != (self.previous == NO_TICK):
            raise MalformedDocument("previous", "64 zeros in tick 1, and in no other; ticks are counted from 1")
        if self.staged is not None and self.market is not None:
            raise MalformedDocument("staged", "prices are staged or count, not both")
        if self.confirms is not None and self.market is None:
            raise MalformedDocument("confirms", "only a tick with a market confirms a staged one")
        return self

    @property
    def place(self) -> "Place":
        """What its documents have to name."""
        return Place(self.sequence, self.rules, self.previous, self.last_market)


class Place(NamedTuple):
    """Where a tick stands: what a source names beside its market.

    Attributes:
        sequence: number of the tick.
        rules: hash of the price rules.
        previous: hash of the tick before, or `NO_TICK`.
        last_market: hash of the last tick with a market under the same rules, or `NO_TICK`.
    """

    sequence: int
    rules: str
    previous: str
    last_market: str


def place_after(last: PriceTick | None, rules: PriceRules) -> Place:
    """Return the place of the tick after `last`; after None, of the first."""
    pinned = rules.hash()
    if last is None:
        return Place(1, pinned, NO_TICK, NO_TICK)
    last_market = last.last_market if last.market is None else last.hash()
    return Place(last.sequence + 1, pinned, last.hash(), last_market if last.rules == pinned else NO_TICK)
