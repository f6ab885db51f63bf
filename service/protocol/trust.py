"""The trust file: the anchors of a verifier or an institution."""

from typing import Literal

from atomic_margin.documents.fields import Hash, PublicKey
from atomic_margin.documents.strict import Document, IdMap, ListOf
from atomic_margin.service.protocol.price_rules import PriceRules


class TrustFile(Document):
    """Trust anchors of a verifier or an institution. They come from here, never from a bundle.

    Attributes:
        prices: whose prices count, how many sources must agree, and within which bounds.
        keys: for each institution, the commitments to its FHE keys (`KeyPair.hash`), old ones and new.
    """

    TAG = "trust"
    format: Literal["atomic-margin/trust/2"]
    operator: PublicKey
    prices: PriceRules
    institutions: IdMap[PublicKey]
    keys: IdMap[ListOf[Hash]]
    model: Hash
    universe: Hash
    schedule: Hash
    profile: Hash
    generators: Hash
