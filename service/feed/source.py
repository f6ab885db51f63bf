"""Where signed prices come from: the interface of a source, and the plainest one.

>>> from atomic_margin.service.protocol.signing import Identity
>>> source = DocumentSource(Identity.generate(), Market.parse({
...     "format": "atomic-margin/market/1", "sequence": "1", "as_of": "2026-11-20T08:00:00Z", "rate": "0.04",
...     "underlyings": {}, "collateral": {"USDC": "1"}}))
>>> source.fetch(7).body["sequence"]
'7'
"""

from collections.abc import Sequence
from typing import Any, Protocol

from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import PriceSet


class PriceSource(Protocol):
    """Somebody who says what the market is, and signs it.

    An adapter reads a venue, a vendor or a chain, and signs with a key of its own; the price rules name the key.
    """

    @property
    def public_key(self) -> str:
        """Ed25519 public key of the source, hex."""

    def fetch(self, sequence: int) -> SignedDocument:
        """Return a signed document of type ``price``: a market of that sequence number.

        Raises:
            SourceError: there is nothing the source could sign.
        """


class DocumentSource:
    """Signs a market that somebody else made."""

    def __init__(self, identity: Identity, market: Market) -> None:
        """`market` is signed under any sequence number that is asked for."""
        self._identity, self._market = identity, market

    @property
    def public_key(self) -> str:
        """Ed25519 public key of the source, hex."""
        return self._identity.public_key

    def fetch(self, sequence: int) -> SignedDocument:
        """Return the market, signed, under a sequence number."""
        return sign_market(self._identity, self._market, sequence)


def sign_market(identity: Identity, market: Market, sequence: int | None = None) -> SignedDocument:
    """Sign a market as a source's prices, under another sequence number if one is given."""
    body: Any = market.canonical()
    if sequence is not None:
        body["sequence"] = str(sequence)
    # Checked once more, so that nothing is signed that nobody can read.
    Market.parse(body)
    return identity.sign("price", body)


def price_set(documents: Sequence[SignedDocument], sequence: int) -> PriceSet:
    """Return what is posted to make a tick."""
    return PriceSet.parse(
        {
            "format": "atomic-margin/prices/1",
            "sequence": str(sequence),
            "prices": [document.to_json() for document in documents],
        }
    )
