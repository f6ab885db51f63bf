"""Lots of a lone case, which no universe gives: exact where that fits, and otherwise rounded against the holder.

For `listing`. Everything of one expiry, and the perpetual, has a lot of its own: the largest power of ten that divides
every quantity. Quantities of many decimals leave one that is too fine for the digits of an entry, or for rows of 20
bits. It is made coarser then until both hold, and every quantity is rounded *down*, long towards nothing and short
away from it. A book is what is left and, of each instrument, less than a lot held long; `conservative.rounding_loss` is
the least that those can be worth in a row, so no row gains by it, whatever the signs of the rest.

>>> chosen = choose_lots({"a": [Decimal("-1.234567890123456")], "b": [Decimal(30), Decimal("-2.5")]}, Decimal(3000))
>>> chosen["a"], chosen["a"].count(Decimal("-1.234567890123456"))
(Lot(size=Decimal('0.00001'), exact=False, digits=4), -123457)
>>> chosen["b"]
Lot(size=Decimal('0.1'), exact=True, digits=2)
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from atomic_margin.margin.market.entries import RADIX_BITS

MAX_DIGITS = 5

# A book within its gross limit must not overflow rows of so many bits by rounding alone (`check_gross_limit`), and the
# limit of a case leaves up to this much room above it.
_NARROWEST_BITS = 20
_ROOM = 2

Group = TypeVar("Group")


@dataclass(frozen=True)
class Lot:
    """The lot of instruments that share one.

    Attributes:
        size: quantity, a power of ten.
        exact: whether every quantity is a whole number of lots.
        digits: radix-32 digits that the largest quantity needs.
    """

    size: Decimal
    exact: bool
    digits: int

    def count(self, quantity: Decimal) -> int:
        """Return the lots of a signed quantity, rounded down."""
        return math.floor(Fraction(quantity) / Fraction(self.size))

    def gross_weight(self, price: Decimal) -> int:
        """Return the gross weight of one lot, whole USD, at a price of the underlying."""
        return max(1, math.ceil(Fraction(self.size) * Fraction(price)))


def choose_lots(groups: Mapping[Group, Iterable[Decimal]], price: Decimal) -> dict[Group, Lot]:
    """Return the lot of every group of instruments.

    Args:
        groups: signed quantities of its instruments, unrounded.
        price: of the underlying, USD; gross weights are counted at it.
    """
    held = {name: [Fraction(amount) for amount in amounts if amount] for name, amounts in groups.items()}
    exponents = {name: _exponent(parts) for name, parts in held.items()}
    exact = dict(exponents)
    for name, parts in held.items():
        while _most(parts, exponents[name]) >= 1 << RADIX_BITS * MAX_DIGITS:
            exponents[name] += 1
    used = [name for name, parts in held.items() if parts]
    while used:
        weights = {name: max(Fraction(1), Fraction(price) * _power(exponents[name])) for name in used}
        gross = sum(math.ceil(weights[name]) * _lots(held[name], exponents[name]) for name in used)
        # A gross limit is also at least four times the largest column (`check_gross_limit`).
        largest = max(
            math.ceil(weights[name]) << RADIX_BITS * (_digits(held[name], exponents[name]) - 1) for name in used
        )
        if max(_ROOM * gross, 4 * largest) < ((1 << _NARROWEST_BITS - 1) - 1) * math.floor(min(weights.values())):
            break
        exponents[min(used, key=lambda name: exponents[name])] += 1
    return {
        name: Lot(
            size=Decimal(1).scaleb(exponents[name]),
            exact=exponents[name] == exact[name],
            digits=_digits(parts, exponents[name]),
        )
        for name, parts in held.items()
    }


def _power(exponent: int) -> Fraction:
    return Fraction(10) ** exponent


def _exponent(parts: list[Fraction]) -> int:
    """Return the exponent of the largest power of ten that divides every quantity, 0 of none."""
    exponent = 0
    while parts and all((part / _power(exponent + 1)).denominator == 1 for part in parts):
        exponent += 1
    while any((part / _power(exponent)).denominator != 1 for part in parts):
        exponent -= 1
    return exponent


def _most(parts: list[Fraction], exponent: int) -> int:
    return max((abs(math.floor(part / _power(exponent))) for part in parts), default=0)


def _digits(parts: list[Fraction], exponent: int) -> int:
    return max(1, -(-_most(parts, exponent).bit_length() // RADIX_BITS))


def _lots(parts: list[Fraction], exponent: int) -> int:
    return sum(abs(math.floor(part / _power(exponent))) for part in parts)
