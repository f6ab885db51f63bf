"""The document by which collateral that has matured becomes cash. Pure."""

from typing import Literal

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Identifier, Quantity
from atomic_margin.service.protocol.bodies import Body


class Maturity(Body):
    """All that an account has of an asset, posted or free, became the cash that is due for it.

    Attributes:
        institution: whose account.
        operator: public key.
        entry: hash of the account's entry before.
        pool: posted or free; each has a document of its own, since free collateral is nobody else's business.
        asset: what matured.
        quantity: all there is of it in the pool, smallest units.
        cash: asset that came in.
        paid: how much of it, smallest units.
        price_sequence: number of the newest tick with a market, whose prices are at the maturity or after it.
        tick: its hash.
        booked_at: time.
    """

    TYPE = "maturity"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    pool: Literal["posted", "free"]
    asset: Identifier
    quantity: Quantity
    cash: Identifier
    paid: Quantity
    price_sequence: Counter
    tick: Hash
    booked_at: Time

    @model_validator(mode="after")
    def _check(self) -> "Maturity":
        if self.quantity == 0 or self.paid == 0:
            raise MalformedDocument("quantity", "what matures is something, and so is what it pays")
        if self.asset == self.cash:
            raise MalformedDocument("cash", "an asset is paid in another one")
        return self
