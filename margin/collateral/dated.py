"""Collateral with an end: tokenised bills that mature, and repo legs whose far side is due.

Until it matures such an asset is worth its quote, or what its leg has accrued by simple interest over whole days
(actual/360), with a haircut by tenor. From its maturity on it is the cash that is due, whatever the ledger calls it: a
smallest unit is worth ``quantity`` smallest units of the asset that it pays, with that one's price, tiers and haircut,
together with whatever else of it there is. What is not paid within ``unpaid_days`` is worth nothing.

>>> from atomic_margin.documents.strict import instant as moment
>>> bill = Dated.parse({"matures": "2027-02-16T00:00:00Z", "pays": "USDC", "quantity": "10000", "unpaid_days": "3",
...                     "haircuts": [{"days": "30", "haircut": "0.002"}, {"days": "90", "haircut": "0.005"}]})
>>> [bill.days_left(moment("2027-01-17T00:00:00Z")), bill.days_left(moment("2027-01-16T23:59:59Z"))]
[30, 31]
>>> [str(bill.haircut_at(moment(text), Decimal("0.01"))) for text in
...  ("2027-01-17T00:00:00Z", "2027-01-16T23:59:59Z", "2026-11-18T00:00:00Z", "2026-11-17T23:59:59Z")]
['0.002', '0.005', '0.005', '0.01']
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Annotated

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.documents.strict import (
    Identifier,
    Instant,
    NonEmptyListOf,
    Part,
    Quantity,
    format_instant,
    in_range,
    integer_in,
)

_DAY = 86_400
YEAR_DAYS = 360
"""Actual/360, as money markets count."""


class TenorHaircut(Part):
    """The haircut of an asset with so many days left, or fewer: a day that has begun counts as a whole one."""

    days: Annotated[int, integer_in(0, 36_525)]
    haircut: Annotated[Decimal, in_range("0", "1", below=True)]


class Accrual(Part):
    """What a repo leg is worth before its far side: its near price, and simple interest on it over whole days.

    Attributes:
        begins: the near date.
        price: USD of a whole unit then.
        rate: a year, on 360 days.
    """

    begins: Instant
    price: Annotated[Decimal, in_range("0", "1000000000", above=True)]
    rate: Annotated[Decimal, in_range("0", "1")]

    def price_at(self, instant: datetime) -> Fraction:
        """Return USD of a whole unit: days that have not ended have accrued nothing; before the first it is none."""
        if instant < self.begins:
            return Fraction(0)
        days = int((instant - self.begins).total_seconds()) // _DAY
        return Fraction(self.price) * (1 + Fraction(self.rate) * Fraction(days, YEAR_DAYS))


class Dated(Part):
    """That an asset ends, and in what.

    Attributes:
        matures: from this time of prices on it is the cash that is due.
        pays: asset of the schedule that it is paid in.
        quantity: of it, smallest units for a smallest unit of this one.
        unpaid_days: so many days after its maturity what has not been paid is worth nothing.
        haircuts: by tenor, ascending; with more days left than the last one says, the asset's own haircut counts.
        accrual: for a leg that nobody quotes.
    """

    matures: Instant
    pays: Identifier
    quantity: Quantity
    unpaid_days: Annotated[int, integer_in(0, 365)]
    haircuts: NonEmptyListOf[TenorHaircut] | None = None
    accrual: Accrual | None = None

    @model_validator(mode="after")
    def _check(self) -> "Dated":
        if self.quantity == 0:
            raise MalformedDocument("quantity", "what matures pays at least one smallest unit for a smallest unit")
        for index, (one, other) in enumerate(pairwise(self.haircuts or ()), 1):
            if other.days <= one.days:
                raise OutOfRange(f"haircuts[{index}].days", f"above {one.days}, those of the tenor before")
            if other.haircut < one.haircut:
                raise OutOfRange(f"haircuts[{index}].haircut", f"at least {one.haircut}: a longer tenor is no safer")
        if self.accrual is not None and self.accrual.begins >= self.matures:
            raise OutOfRange("accrual.begins", f"before the far side, {format_instant(self.matures)}")
        return self

    def has_matured(self, instant: datetime) -> bool:
        """Return whether prices of ``instant`` are at its maturity or after it."""
        return instant >= self.matures

    def is_lost(self, instant: datetime) -> bool:
        """Return whether it should have been paid so long ago that nothing is counted on any more."""
        return (instant - self.matures).total_seconds() > self.unpaid_days * _DAY

    def days_left(self, instant: datetime) -> int:
        """Return the days to its maturity; one that has begun is a whole one, which is against the holder."""
        return max(0, -(-int((self.matures - instant).total_seconds()) // _DAY))

    def haircut_at(self, instant: datetime, longest: Decimal) -> Decimal:
        """Return the haircut by the days left; ``longest`` with more than the table has."""
        left = self.days_left(instant)
        return next((row.haircut for row in self.haircuts or () if left <= row.days), longest)


def due(dated: Mapping[str, Dated], instant: datetime, holdings: Mapping[str, int]) -> dict[str, int]:
    """Return holdings with what has matured as the cash that is due, smallest units by asset.

    Args:
        dated: assets that end, by identifier.
        instant: time of the prices.
        holdings: smallest units by asset.
    """
    found: dict[str, int] = {}
    for name, quantity in holdings.items():
        end = dated.get(name)
        if end is None or not end.has_matured(instant):
            found[name] = found.get(name, 0) + quantity
        elif not end.is_lost(instant):
            found[end.pays] = found.get(end.pays, 0) + quantity * end.quantity
    return found
