"""Instruments of the universe: perpetuals, dated futures and European options, all margined futures-style in USD.

For `universe` and whoever reads a universe. A lot is `lot` units of the underlying; its gross weight is a whole number
of USD that measures the size of a book without saying on which side it stands:

>>> from decimal import Decimal
>>> gross_weight(Decimal("0.1"), Decimal("96420.5"))
9643
"""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import Identifier, Instant, Part, Price, in_range, integer_in

FundingIndex = Annotated[Decimal, in_range("-1000000000000", "1000000000000")]

MAX_LOT = "1000000000000"
"""Units of an underlying in a lot, at most."""

Side = Literal["long", "short"]
SIDES: tuple[Side, Side] = ("long", "short")

_NEEDS = {"perpetual": frozenset[str](), "future": {"expiry"}, "option": {"expiry", "strike", "right"}}


class Underlying(Part):
    """An underlying of the universe.

    Attributes:
        reference_price: USD, fixed with the universe; gross weights are counted at it.
    """

    reference_price: Price


class Instrument(Part):
    """One tradable contract.

    Attributes:
        id: identifier, unique in the universe.
        kind: perpetual, (dated) future or (European) option.
        underlying: identifier of the underlying.
        lot: contract size, in units of the underlying, above 0 and at most 10^12: a token at 10^-9 USD fits.
        reference_price: USD per unit of underlying; profit and loss is counted from it.
        digits: radix-32 digits a side has, 1 to 4; the largest position is 32^digits - 1 lots.
        expiry: of futures and options.
        strike: of options, USD per unit of underlying.
        right: of options, call or put.
        reference_funding_index: of perpetuals, the underlying's funding index that profit is counted from, USD per
            unit; left out for 0.
    """

    id: Identifier
    kind: Literal["perpetual", "future", "option"]
    underlying: Identifier
    lot: Annotated[Decimal, in_range("0", MAX_LOT, above=True)]
    reference_price: Price
    digits: Annotated[int, integer_in(1, 4)]
    expiry: Instant | None = None
    strike: Price | None = None
    right: Literal["call", "put"] | None = None
    reference_funding_index: FundingIndex | None = None

    def check_terms(self, path: str) -> None:
        """Raise MalformedDocument unless exactly the terms this kind of contract has are given."""
        for name in ("expiry", "strike", "right"):
            given, needed = getattr(self, name) is not None, name in _NEEDS[self.kind]
            if given != needed:
                advice = "is missing; add it" if needed else "does not apply; remove it"
                raise MalformedDocument(f"{path}.{name}", f"for {self.kind} {self.id!r} this {advice}")
        if self.reference_funding_index is not None and self.kind != "perpetual":
            raise MalformedDocument(
                f"{path}.reference_funding_index", f"for {self.kind} {self.id!r} this does not apply; remove it"
            )

    def cash_of(self, price: Decimal, funding_index: Decimal | None, path: str) -> Fraction:
        """Return the cash that one unit bought at a price leaves beside the position, USD, without rounding.

        Args:
            price: that it was bought at, USD per unit.
            funding_index: of perpetuals, the underlying's at that time, USD per unit.
            path: of what says so, for errors.

        Raises:
            MalformedDocument: a perpetual has no funding index, or something else has one.
        """
        per_unit = Fraction(self.reference_price) - Fraction(price)
        if self.kind != "perpetual":
            if funding_index is not None:
                raise MalformedDocument(
                    f"{path}.funding_index", f"{self.id} is no perpetual and has no funding; remove it"
                )
            return per_unit
        if funding_index is None:
            raise MalformedDocument(
                f"{path}.funding_index",
                f'{self.id} is a perpetual: add the funding index of {self.underlying} at the trade ("0" if there is '
                "none)",
            )
        return per_unit + Fraction(funding_index) - Fraction(self.reference_funding_index or 0)


def gross_weight(lot: Decimal, reference_price: Decimal) -> int:
    """Return the gross weight of one lot, in whole USD: g = max(1, ceil(lot * reference price of the underlying)).

    The published rule. It counts options at the notional of their underlying, in fractions, and rounds up once, so that
    the gross of a book is never understated. A column of weight 32^d lots has gross weight 32^d * g.
    """
    return max(1, math.ceil(Fraction(lot) * Fraction(reference_price)))
