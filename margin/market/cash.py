"""Cash that trades have left in an account: what its lines were traded at, against the prices that profit counts from.

For the institution's side, and for whoever names columns. A position's weight counts profit from a published reference
price, whatever it was bought at. The difference is cash, exact and known to the institution alone:

    cash  =  Σ over trades  side · lots · lot · [ (Ref - price) + (I_trade - I_Ref) ]  -  fees

with I the funding index of a perpetual, USD per unit that a long position has paid. What was settled outside is said
in the trade: a premium paid or received outside enters as price 0. The exact sum is rounded once, against the holder,
to cash lots.

The cash lot is a power of two of USD, at least 4 and less than 8 times G / 2^bits for rows of so many bits: with it a
weight of cash is exact in every unit that a calm market gives, and receivable and payable hold about G/2 each.

>>> cash_lot(64_000_000, 24), cash_tiers(24)
(Decimal('16'), ((1, 10), (1024, 11)))
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


def cash_lot(gross_limit: int, bits: int) -> Decimal:
    """Return the USD that one unit of the lowest cash entries counts.

    Args:
        gross_limit: G, whole USD, at least 1.
        bits: width of a row of the FHE profile, sign included.
    """
    exponent = max(FINEST_LOT, (gross_limit - 1).bit_length() + 2 - bits)
    return Decimal(1 << exponent) if exponent >= 0 else Decimal(1) / (1 << -exponent)


def cash_tiers(bits: int) -> tuple[tuple[int, int], ...]:
    """Return cash lots a unit and bits of the entries of either side: some 2^(bits-3) lots in all, half of G."""
    low = _LOW_BITS if bits >= _NARROW else bits - 6
    return ((1, low), (1 << low, bits - 3 - low))


def in_lots(amount: Fraction, lot: Decimal) -> int:
    """Return an amount of USD in cash lots, rounded down: against the holder; negative for what it owes."""
    return math.floor(amount / Fraction(lot))
