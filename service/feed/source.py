"""Where signed prices come from: the interface of a source, and the plainest one.

>>> from atomic_margin.service.protocol.signing import Identity
>>> source = DocumentSource(Identity.generate(), Market.parse({
...     "format": "atomic-margin/market/1", "sequence": "1", "as_of": "2026-11-20T08:00:00Z", "rate": "0.04",
...     "underlyings": {}, "collateral": {"USDC": "1"}}))
>>> signed = source.fetch(Place(7, "5a" * 32, "6b" * 32, "6b" * 32))
>>> signed.body["previous"] == "6b" * 32, signed.body["market"]["sequence"]
(True, '7')

Which place is next, and that no two documents are signed for one, is the business of `memory`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import Place, Price, PriceSet


class PriceSource(Protocol):
    """Somebody who says what the market is, and signs it.

    An adapter reads a venue, a vendor or a chain, and signs with a key of its own; the price rules name the key.
    """

    @property
    def public_key(self) -> str:
        """Ed25519 public key of the source, hex."""

    def fetch(self, place: Place) -> SignedDocument:
        """Return a signed document of type ``price``: a market at that place of the chain.

        Raises:
            SourceError: there is nothing the source could sign.
        """


class DocumentSource:
    """Signs a market that somebody else made."""

    def __init__(self, identity: Identity, market: Market) -> None:
        """`market` is signed at any place that is asked for."""
        self._identity, self._market = identity, market

    @property
    def public_key(self) -> str:
        """Ed25519 public key of the source, hex."""
        return self._identity.public_key

    def fetch(self, place: Place) -> SignedDocument:
        """Return the market, signed at a place."""
        return sign_market(self._identity, self._market, place)


def sign_market(identity: Identity, market: Market, place: Place) -> SignedDocument:
    """Sign a market as a source's prices, at a place of the chain; the market gets the place's number."""
    body: Any = market.canonical()
    body["sequence"] = str(place.sequence)
    price = {"rules": place.rules, "previous": place.previous, "last_market": place.last_market, "market": body}
    return Price.parse(price).signed_by(identity)


def price_set(documents: Sequence[SignedDocument], sequence: int) -> PriceSet:
    """Return what is posted to make a tick."""
    return PriceSet.parse(
        {
            "format": "atomic-margin/prices/2",
            "sequence": str(sequence),
            "prices": [document.to_json() for document in documents],
        }
    )
