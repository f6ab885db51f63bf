"""Cash that trades have left in an account: what its lines were traded at, against the prices that profit counts from.

For the institution's side, and for whoever names columns. A position's weight counts profit from a published reference
price, whatever it was bought at. The difference is cash, exact and known to the institution alone:

    cash  =  Σ over trades  side · lots · lot · [ (Ref - price) + (I_trade - I_Ref) ]  -  fees

with I the funding index of a perpetual, USD per unit that a long position has paid. What was settled outside is said
in the trade: a premium paid or received outside enters as price 0. The exact sum is rounded once, against the holder,
to cash lots.

The cash lot is a power of two of USD, at least 4 and less than 8 times G / 2^bits for rows of so many bits: with it a
weight of cash is exact in every unit that a calm market gives, and receivable and payable hold about G/2 each. Where
weights are narrow for the largest tier of a position, the unit is coarser than rows would have it, and so is the lot.

>>> cash_lot(64_000_000, 24), cash_tiers(24)
(Decimal('16'), ((1, 10), (1024, 11)))
>>> coarser(64_000_000, 24, largest=9_960_000, weight_bits=14), cash_tiers(24, 6)
(6, ((1, 10), (1024, 5)))
>>> in_lots(Fraction(100), Decimal(16)), in_lots(Fraction(-100), Decimal(16))
(6, -7)
"""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Literal

CashSide = Literal["receivable", "payable"]
CASH_SIDES: tuple[CashSide, CashSide] = ("receivable", "payable")

CASH = "cash"
"""In place of an instrument's identifier; columns of cash are the last."""

FINEST_LOT = -9
"""Base-2 logarithm of the smallest cash lot, in USD: a fifth of a cent."""

_LOW_BITS = 10
# A row is wide enough for the entries of its cash; narrower profiles than these are for measurements only.
_NARROW = 16
# Fewer would not hold what a few trades leave.
_LEAST_BITS = 4


def cash_lot(gross_limit: int, bits: int, doubled: int = 0) -> Decimal:
    """Return the USD that one unit of the lowest cash entries counts.

    Args:
        gross_limit: G, whole USD, at least 1.
        bits: width of a row of the FHE profile, sign included.
        doubled: how often the lot is doubled, see `coarser`.
    """
    exponent = _exponent(gross_limit, bits) + doubled
    return Decimal(1 << exponent) if exponent >= 0 else Decimal(1) / (1 << -exponent)


def cash_tiers(bits: int, doubled: int = 0, weight_bits: int | None = None) -> tuple[tuple[int, int], ...]:
    """Return cash lots a unit and bits of the entries of either side: half of G in all, 2^(bits-3-doubled) lots.

    A unit of the higher entry weighs no more than positions do, which would make every weight coarser.

    Args:
        bits: width of a row of the FHE profile, sign included.
        doubled: how often the cash lot is doubled, see `coarser`.
        weight_bits: width of a weight, sign included; None where weights are as wide as rows.
    """
    all_bits = bits - 3 - doubled
    low = min(_LOW_BITS if bits >= _NARROW else bits - 6, (weight_bits or bits) - _LEAST_BITS, all_bits - 1)
    return ((1, low), (1 << low, all_bits - low))


def coarser(gross_limit: int, bits: int, *, largest: int, weight_bits: int) -> int:
    """Return how often the cash lot is doubled where weights are narrow.

    A unit of the largest tier of positions weighs up to half its gross weight in a crash, so the unit of a matrix is up
    to g / 2^weight_bits, and a smaller cash lot would be charged as a whole unit.

    Args:
        gross_limit: G, whole USD.
        bits: width of a row of the FHE profile, sign included.
        largest: the largest gross weight g of a tier, whole USD.
        weight_bits: width of a weight, sign included.
    """
    wanted = (largest - 1).bit_length() - weight_bits
    return min(max(0, wanted - _exponent(gross_limit, bits)), bits - 3 - _LEAST_BITS)


def _exponent(gross_limit: int, bits: int) -> int:
    return max(FINEST_LOT, (gross_limit - 1).bit_length() + 2 - bits)


def in_lots(amount: Fraction, lot: Decimal) -> int:
    """Return an amount of USD in cash lots, rounded down: against the holder; negative for what it owes."""
    return math.floor(amount / Fraction(lot))
