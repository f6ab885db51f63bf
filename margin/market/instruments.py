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
        lot: contract size, in units of the underlying.
        reference_price: USD per unit of underlying; profit and loss is counted from it.
        digits: radix-32 digits a side has, 1 to 4; the largest position is 32^digits - 1 lots.
        expiry: of futures and options.
        strike: of options, USD per unit of underlying.
        right: of options, call or put.
    """

    id: Identifier
    kind: Literal["perpetual", "future", "option"]
    underlying: Identifier
    lot: Annotated[Decimal, in_range("0", "1000000", above=True)]
    reference_price: Price
    digits: Annotated[int, integer_in(1, 4)]
    expiry: Instant | None = None
    strike: Price | None = None
    right: Literal["call", "put"] | None = None

    def check_terms(self, path: str) -> None:
        """Raise MalformedDocument unless exactly the terms this kind of contract has are given."""
        for name in ("expiry", "strike", "right"):
            given, needed = getattr(self, name) is not None, name in _NEEDS[self.kind]
            if given != needed:
                advice = "is missing; add it" if needed else "does not apply; remove it"
                raise MalformedDocument(f"{path}.{name}", f"for {self.kind} {self.id!r} this {advice}")


def gross_weight(lot: Decimal, reference_price: Decimal) -> int:
    """Return the gross weight of one lot, in whole USD: g = max(1, ceil(lot * reference price of the underlying)).

    The published rule. It counts options at the notional of their underlying, in fractions, and rounds up once, so that
    the gross of a book is never understated. A column of weight 32^d lots has gross weight 32^d * g.
    """
    return max(1, math.ceil(Fraction(lot) * Fraction(reference_price)))
