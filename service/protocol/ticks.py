"""The documents of a tick: the prices as they are sent, and the tick as the operator records it."""

from typing import Annotated, ClassVar, Literal

from pydantic import PlainValidator

from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Document, ListOf, NonEmptyListOf, Part
from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.documents import Body
from atomic_margin.service.protocol.signing import SignedDocument

Reason = Literal["malformed", "sequence", "stale", "early", "outlier"]


def _quote(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or not value.isascii() or not value.isprintable():
        raise ValueError("the path of a quote is 1 to 256 printable ASCII characters")
    return value


class PriceSet(Document):
    """What is posted to make a tick, format ``atomic-margin/prices/1``. Not signed: its parts are.

    Attributes:
        sequence: number of the tick.
        prices: signed market documents, at most one of each source.
    """

    TAG: ClassVar[str] = "prices"

    format: Literal["atomic-margin/prices/1"]
    sequence: Counter
    prices: NonEmptyListOf[SignedDocument]


class Dropped(Part):
    """A source whose document does not count in a tick.

    Attributes:
        source: its public key.
        reason: `malformed` (no market document), `sequence` (of another tick), `stale` or `early` (by its time),
            `outlier` (a quote too far from the median).
        quote: path of the quote that is an outlier, the first in the order of paths; otherwise absent.
    """

    source: PublicKey
    reason: Reason
    quote: Annotated[str, PlainValidator(_quote)] | None = None


class Previous(Part):
    """The tick before, as far as it takes to recompute its prices.

    Attributes:
        tick: hash of its body.
        sequence: its number.
        received_at: when its prices arrived.
        prices: the signed documents that counted in it.
    """

    tick: Hash
    sequence: Counter
    received_at: Time
    prices: NonEmptyListOf[SignedDocument]


class PriceTick(Body):
    """A tick as the operator records and signs it; everything in it can be recomputed from the sources' signatures.

    Attributes:
        rules: hash of the price rules.
        sequence: number of the tick.
        received_at: operator's time at which the prices arrived.
        prices: all documents that were sent, those that were dropped too.
        dropped: which do not count, and why, in the order they were found.
        market: the combined prices.
        previous: the tick before under the same rules; absent in the first.
    """

    TYPE = "tick"
    rules: Hash
    sequence: Counter
    received_at: Time
    prices: NonEmptyListOf[SignedDocument]
    dropped: ListOf[Dropped]
    market: Market
    previous: Previous | None = None
