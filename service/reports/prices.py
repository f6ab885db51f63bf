"""What holdings are worth at a tick's prices, now and in no scenario: market value, and value after haircut and tiers.

Values are fractions until they are shown; they are shown in cents, rounded down: against the holder.

>>> cents(Fraction(2, 3)), cents(Fraction(5))
('0.66', '5.00')
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.collateral.schedule import Asset, CollateralSchedule
from atomic_margin.margin.collateral.values import credited
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import RequestError
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.reports.errors import HistoryUnusable, PricesMissing


def cents(value: Fraction) -> str:
    """Return an amount that is not negative, in USD, rounded down to the cent."""
    whole = int(value * 100)
    return f"{whole // 100}.{whole % 100:02d}"


def read_tick(value: Any, operator: str) -> PriceTick:
    """Return a tick as the operator signed it.

    Raises:
        HistoryUnusable: it is none of the operator's.
    """
    try:
        signed, tick = parse_signed(value, PriceTick)
        signed.verify(frozenset({operator}))
    except (RequestError, DocumentsError) as error:
        raise HistoryUnusable(f"a tick is none of this operator: {error}") from error
    return tick


def newest_until(day: date, last: int, tick_of: Callable[[int], PriceTick]) -> int | None:
    """Return the number of the newest tick with a market whose prices are of a day or before it, if there is one.

    Times of prices rise with the numbers, so few ticks are looked at.

    Args:
        day: in UTC.
        last: number of the newest tick there is.
        tick_of: a tick by its number, from 1.
    """
    found, low, high = None, 0, last
    while low < high:
        middle = number = (low + high + 1) // 2
        # Ticks that are void or staged have no time of their own.
        while number > low and tick_of(number).market is None:
            number -= 1
        market = tick_of(number).market if number > low else None
        if market is not None and market.as_of.date() > day:
            high = number - 1
        else:
            found, low = (found if market is None else number), middle
    return found


class Worth(NamedTuple):
    """What a quantity of one asset is worth.

    Attributes:
        price: USD of one whole unit; of what ends no more than it pays, whatever somebody quotes.
        market: USD before tiers and haircut.
        counted: USD after both; 0 where the asset does not count at these prices.
        haircut: that it is counted with, by its tenor where it has an end, and that of its cash once it has matured.
    """

    price: Decimal
    market: Fraction
    counted: Fraction
    haircut: Decimal


@dataclass(frozen=True)
class Prices:
    """The schedule and the ticks that values are made of.

    Attributes:
        schedule: decimals, haircuts and tiers.
        ticks: with a market or void, by number; each is the operator's.
    """

    schedule: CollateralSchedule
    ticks: Mapping[int, PriceTick]

    @classmethod
    def of(cls, schedule: CollateralSchedule, ticks: Iterable[Any], operator: str) -> "Prices":
        """Read ticks as the operator signed them.

        Raises:
            HistoryUnusable: one is none of the operator's, or there are two of a number.
        """
        found: dict[int, PriceTick] = {}
        for value in ticks:
            tick = read_tick(value, operator)
            if found.setdefault(tick.sequence, tick).hash() != tick.hash():
                raise HistoryUnusable(f"there are two ticks of number {tick.sequence}")
        return cls(schedule, found)

    def require_schedule(self, named: str) -> None:
        """Make sure that the schedule is the one that a signed document names.

        Raises:
            HistoryUnusable: it is another one.
        """
        if self.schedule.hash() != named:
            raise HistoryUnusable(
                "the collateral schedule is another one than the account's runs name; give the operator's own"
            )

    def market(self, sequence: int, sha256: str) -> Market:
        """Return the market of a tick that a signed document names.

        Raises:
            PricesMissing: that tick is not among those given, or is void.
            HistoryUnusable: another one of that number is.
        """
        tick = self.ticks.get(sequence)
        if tick is None or tick.market is None:
            raise PricesMissing(f"the prices of tick {sequence} are needed: give that tick, as the operator signed it")
        if tick.hash() != sha256:
            raise HistoryUnusable(f"tick {sequence} is another one than the history names")
        return tick.market

    def last_of(self, day: date, least: int) -> PriceTick | None:
        """Return the newest tick with a market whose prices are of a day or before it, of a number of at least one."""
        numbers = sorted((number for number in self.ticks if number >= least), reverse=True)
        for number in numbers:
            market = self.ticks[number].market
            if market is not None and market.as_of.date() <= day:
                return self.ticks[number]
        return None

    def asset(self, name: str) -> Asset:
        """Return an asset of the schedule.

        Raises:
            PricesMissing: the schedule has no such asset.
        """
        asset = self.schedule.by_id.get(name)
        if asset is None:
            raise PricesMissing(f"the schedule has no asset {name}; give the operator's own")
        return asset

    def amount(self, name: str, quantity: int) -> str:
        """Return a quantity in whole units of its asset."""
        return format(Decimal(quantity).scaleb(-self.asset(name).decimals), "f")

    def worth(self, market: Market, name: str, quantity: int) -> Worth:
        """Return what a holding is worth; tiers look at this quantity alone.

        Raises:
            PricesMissing: the market or the schedule does not know the asset.
        """
        asset = self.asset(name).at(market.as_of)
        if asset.has_matured(market.as_of):
            return self._worth_due(market, asset, quantity)
        price, pays = asset.price_in(market), self.schedule.payoffs.get(name)
        if price is None:
            raise PricesMissing(f"tick {market.sequence} does not price {name}")
        price = price if pays is None else min(price, pays)
        value = price * quantity / 10**asset.decimals
        counts = asset.counts_at(market.as_of)
        return Worth(_shown(price), value, credited(asset, value) if counts else Fraction(0), asset.haircut)

    def counted(self, market: Market, held: Mapping[str, int]) -> Fraction:
        """Return what holdings are worth together after tiers and haircut: what has matured counts with other cash.

        Raises:
            PricesMissing: the market or the schedule does not know one of the assets.
        """
        due = self.schedule.due(market.as_of, {self.asset(name).id: quantity for name, quantity in held.items()})
        return sum((self.worth(market, *one).counted for one in due.items()), Fraction(0))

    def _worth_due(self, market: Market, asset: Asset, quantity: int) -> Worth:
        """Return what a holding is worth that has matured: the cash that is due; the price is that of a whole unit."""
        due = [self.worth(market, *one) for one in self.schedule.due(market.as_of, {asset.id: quantity}).items()]
        value = sum((one.market for one in due), Fraction(0))
        unit = value * 10**asset.decimals / quantity if quantity else Fraction(0)
        haircut = self.asset(self.schedule.dated[asset.id].pays).haircut
        return Worth(_shown(unit), value, sum((one.counted for one in due), Fraction(0)), haircut)


def _shown(price: Fraction) -> Decimal:
    """Return a price as a decimal, of what has accrued to eight digits."""
    if 10**18 % price.denominator == 0:
        return Decimal(price.numerator * (10**18 // price.denominator)).scaleb(-18).normalize()
    return Decimal(price.numerator * 10**8 // price.denominator).scaleb(-8)
