"""One table of tiers: its checks, its value without rounding and in scaled integers, and the lines it is the least of.

For a collateral value v, USD, with bands (lo, hi] and percentages p (marginal, as in a tax table):

    credit(v) = sum over bands of  p/100 * max(0, min(v, hi) - lo)

Nothing is credited above the last bound. Source of rule and text form: the collateral tables of the public repository
binance/zkmerkle-proof-of-solvency, there in units of 10^-16.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.margin.errors import TierGap, TierRising

NO_LIMIT = 2**64 - 1
"""How published tables write a band without an upper bound."""
MAX_TIERS = 12

_TEXT = re.compile(r"\[\s*(.*?)\s*\]", re.DOTALL)
_BAND = re.compile(r"([0-9]{1,20})-([0-9]{1,20}):([0-9]{1,3})")


class Tier(NamedTuple):
    """One band.

    Attributes:
        above: lower bound, whole USD.
        up_to: upper bound, whole USD, or None for no limit.
        percent: how much of a value between the bounds counts, 0 to 100.
    """

    above: int
    up_to: int | None
    percent: int


class Line(NamedTuple):
    """A straight line in hundredths of USD: percent * v + base, for v in USD.

    Attributes:
        percent: slope, 0 to 100.
        base: value at 0, whole hundredths of USD, at least 0.
    """

    percent: int
    base: int


@dataclass(frozen=True)
class TierTable:
    """Checked tiers; an empty table counts nothing.

    Attributes:
        tiers: at most 12, contiguous from 0, percentages never rising.
        field: where the table stands in its document, for error messages.

    Raises:
        TierGap: the bands do not join, or one is empty.
        TierRising: a percentage is above the one before it: the value would not be the least of its lines.
        OutOfRange: a percentage above 100, a bound beyond 2^64 - 1.
        MalformedDocument: more than 12 tiers.
    """

    tiers: tuple[Tier, ...]
    field: str = "tiers"

    def __post_init__(self) -> None:
        if len(self.tiers) > MAX_TIERS:
            raise MalformedDocument(self.field, f"at most {MAX_TIERS} tiers, got {len(self.tiers)}")
        joint: int | None = 0
        for index, tier in enumerate(self.tiers):
            at = f"{self.field}[{index}]"
            if not 0 <= tier.percent <= 100:
                raise OutOfRange(f"{at}.percent", f"a whole number from 0 to 100, got {tier.percent}")
            if tier.above != joint:
                wanted = "nothing: the band before it has no limit" if joint is None else f"{joint}"
                raise TierGap(f"{at}.above", f"bands join each other, the first at 0: {wanted} here, got {tier.above}")
            if tier.up_to is not None and not tier.above < tier.up_to <= NO_LIMIT:
                raise TierGap(f"{at}.up_to", f"above {tier.above} here and at most 2^64 - 1, got {tier.up_to}")
            if index and tier.percent > self.tiers[index - 1].percent:
                raise TierRising(
                    f"{at}.percent",
                    f"at most the {self.tiers[index - 1].percent} of the band below it, got {tier.percent}: more of an "
                    "asset never counts at a better rate",
                )
            joint = tier.up_to

    @classmethod
    def parse(cls, text: str, field: str = "tiers") -> "TierTable":
        """Read the published text form, ``[lo-hi:percent, ...]``; an empty text or list is the empty table.

        Raises:
            MalformedDocument: another form.
            TierGap, TierRising, OutOfRange: see the class.
        """
        inner = _TEXT.fullmatch(text.strip())
        if text.strip() and inner is None:
            raise MalformedDocument(field, 'write tiers as "[0-10000:100, 10000-20000:90]"')
        if inner is None or not inner[1]:
            return cls((), field)
        found = []
        for index, part in enumerate(re.split(r"\s*,\s*", inner[1])):
            band = _BAND.fullmatch(part)
            if band is None:
                raise MalformedDocument(f"{field}[{index}]", f'write a band as "0-10000:100", got {part[:40]!r}')
            low, high, percent = (int(number) for number in band.groups())
            found.append(Tier(low, None if high == NO_LIMIT else high, percent))
        return cls(tuple(found), field)

    def credit(self, value: Fraction) -> Fraction:
        """Return what a collateral value of at least 0 USD counts for, USD, without rounding."""
        return sum((Fraction(tier.percent, 100) * _within(tier, value, 1) for tier in self.tiers), Fraction(0))

    def credit_scaled(self, value: int, scale: int) -> int:
        """Return what a value counts for in integer arithmetic, every band's product rounded down.

        Args:
            value: collateral value of at least 0, in units of 1/scale USD.
            scale: such units in one USD.
        """
        return sum(tier.percent * int(_within(tier, value, scale)) // 100 for tier in self.tiers)

    def least_value(self, credit: Fraction) -> Fraction:
        """Return the smallest collateral value that counts for at least ``credit``, both in USD, without rounding.

        Raises:
            ValueError: no value does.
        """
        missing = credit
        for tier in self.tiers:
            if missing <= 0:
                return Fraction(tier.above)
            rate = Fraction(tier.percent, 100)
            whole = None if tier.up_to is None else rate * (tier.up_to - tier.above)
            if rate and (whole is None or missing <= whole):
                return tier.above + missing / rate
            missing -= whole or 0
        if missing > 0:
            raise ValueError(f"no value counts for {float(credit):,.2f} USD under these tiers")
        return Fraction((self.tiers[-1].up_to or 0) if self.tiers else 0)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The lines whose least is the credited value: 100 * credit(v) = min over lines of percent * v + base.

        One for each band, and a level one above a last bound. Follows from concavity: at every v the line of its own
        band is the least.
        """
        found, credited = [], 0
        for tier in self.tiers:
            found.append(Line(tier.percent, credited - tier.percent * tier.above))
            if tier.up_to is not None:
                credited += tier.percent * (tier.up_to - tier.above)
        if not self.tiers or self.tiers[-1].up_to is not None:
            found.append(Line(0, credited))
        return tuple(found)


def _within(tier: Tier, value: "int | Fraction", scale: int) -> "int | Fraction":
    """Return how much of ``value`` lies in the band; both in units of 1/scale USD."""
    top = value if tier.up_to is None else min(value, tier.up_to * scale)
    return max(0 * top, top - tier.above * scale)
