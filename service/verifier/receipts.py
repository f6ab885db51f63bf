"""The receipts of a log: what sources signed for a tick has a leaf before the tick's, and is in the tick. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from atomic_margin.service.protocol.leaves import PriceLeaf
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.chains import Misplaced, TickSeen


class PriceSeen(NamedTuple):
    """A leaf of a source's document whose tick is not there yet.

    Attributes:
        leaf: its number in the log.
        source: public key.
        document: hash of the whole signed document.
    """

    leaf: int
    source: str
    document: str


def receipted(leaf: PriceLeaf, index: int, tick: TickSeen) -> PriceSeen | Misplaced:
    """Return what is kept of a document that is receipted, or why it may not be where it is.

    Args:
        leaf: of the document.
        index: number of the leaf in the log.
        tick: the newest tick leaf before it. Of a log that begins later than the ticks, the first number is believed.
    """
    if tick.leaf is not None and leaf.sequence != tick.sequence + 1:
        after = f"prices for tick {leaf.sequence} are receipted after tick {tick.sequence}"
        return Misplaced(f"{after}, when the next one is {tick.sequence + 1}", tick.leaf)
    return PriceSeen(index, leaf.source, leaf.document)


def uncombined(prices: Sequence[PriceSeen], tick: SignedDocument, sequence: int) -> Misplaced | None:
    """Return why a tick is not made of exactly what was receipted for it, or None.

    Args:
        prices: every leaf of a document since the tick before.
        tick: the signed tick.
        sequence: its number.
    """
    documents = {(one["signer"], SignedDocument.parse(one).hash()) for one in tick.body["prices"]}
    for one in prices:
        if (one.source, one.document) not in documents:
            return Misplaced(f"tick {sequence} leaves out what was receipted for it", one.leaf)
    if len(documents) > len(prices):
        return Misplaced(f"tick {sequence} has a document that was not receipted before it", None)
    return None
