"""One tick of market data: what the price feed signs and every party prices from.

Anyone may read it. `Market.parse` refuses malformed quotes; `check_market` then makes sure everything in a universe is
priced, before anything is computed. No tick stops because something expired: it has a settlement price from then on.
Nor does one stop for a strike that nobody quotes: its volatility is interpolated, and `interpolated_quotes` marks it.

>>> market = Market.parse({
...     "format": "atomic-margin/market/1", "sequence": "1", "as_of": "2026-11-20T08:00:00Z", "rate": "0.04",
...     "underlyings": {"BTC": {"spot": "96420.5", "perpetual": "96431", "expiries": {
...         "2026-12-25T08:00:00Z": {"forward": "96890", "volatilities": {"100000": "0.52"}}}}},
...     "collateral": {"USDC": "0.9999"}})
>>> market.underlyings["BTC"].expiries["2026-12-25T08:00:00Z"].volatility(Decimal("100000"))
Decimal('0.52')
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.documents.strict import (
    Document,
    IdMap,
    Instant,
    InstantText,
    MapOf,
    Part,
    Price,
    PriceText,
    Volatility,
    format_instant,
    in_range,
    instant,
    integer_in,
    require_unique,
)
from atomic_margin.margin.errors import CrossedPrices, UnpricedInstrument
from atomic_margin.margin.market.elementary import SCALARS, log
from atomic_margin.margin.market.instruments import FundingIndex, Instrument
from atomic_margin.margin.market.interpolation import interpolate
from atomic_margin.margin.market.pricing import black76
from atomic_margin.margin.market.universe import Universe

_YEAR_SECONDS = 365 * 86400
# No venue averages settlement prices over longer.
_LONGEST_WINDOW = 24 * 3600
_MAX_YEARS = 100
# Options of two strikes may be crossed by this share of the forward: medians of several sources need not fit exactly.
_CROSSED = 1e-4


class Settlement(Part):
    """What is known of the settlement price of one expiry: an average over a window that ends at expiry.

    Attributes:
        average: of the index over the part of the window that is over, USD per unit of underlying; the settlement price
            once the window has ended.
        elapsed: that part, as a fraction of the window; 1 from expiry on.
    """

    average: Price
    elapsed: Annotated[Decimal, in_range("0", "1")]


class ExpiryQuotes(Part):
    """Quotes of one expiry.

    Attributes:
        forward: USD per unit of underlying; also the price of the dated future. Left out once it is settled.
        volatilities: Black-76 implied volatility, a fraction a year, by strike (USD, spelled as in the market); one
            that is not here is interpolated (`volatility_at`).
        settlement: once the window has begun in which the settlement price is averaged.
    """

    forward: Price | None = None
    volatilities: MapOf[PriceText, Volatility]
    settlement: Settlement | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the settlement price is known in full."""
        return self.settlement is not None and self.settlement.elapsed == 1

    @cached_property
    def _by_strike(self) -> dict[Decimal, Decimal]:
        return {Decimal(strike): volatility for strike, volatility in self.volatilities.items()}

    @cached_property
    def _by_logarithm(self) -> tuple[list[float], list[float]]:
        """Logarithms of the quoted strikes, rising, and variances a year there."""
        strikes = sorted(self._by_strike)
        quoted = [float(self._by_strike[strike]) for strike in strikes]
        return [float(log(float(strike), SCALARS)) for strike in strikes], [each * each for each in quoted]

    def volatility(self, strike: Decimal) -> Decimal | None:
        """Return the quoted volatility at ``strike``, however it is spelled, or None."""
        return self._by_strike.get(strike)

    def volatility_at(self, strike: Decimal) -> float | None:
        """Return the volatility at ``strike``, quoted or interpolated, or None where no strike has a quote.

        Between two quoted strikes total variance, volatility squared times the time to expiry, is a straight line in
        the logarithm of the strike; the time is the same at both and cancels. Below the lowest and above the highest
        strike the volatility is held.
        """
        quoted = self.volatility(strike)
        if quoted is not None:
            return float(quoted)
        if not self._by_strike:
            return None
        lowest, highest = min(self._by_strike), max(self._by_strike)
        if not lowest < strike < highest:
            return float(self._by_strike[lowest if strike < lowest else highest])
        return math.sqrt(interpolate(float(log(float(strike), SCALARS)), *self._by_logarithm, SCALARS))


class UnderlyingQuotes(Part):
    """Quotes of one underlying, USD per unit.

    Attributes:
        spot: index price.
        perpetual: mark of the perpetual.
        funding_index: USD per unit that a long position in the perpetual has paid since the index began, negative for
            what it has received; left out for 0.
        expiries: quotes by expiry.
    """

    spot: Price
    perpetual: Price
    funding_index: FundingIndex | None = None
    expiries: MapOf[InstantText, ExpiryQuotes]


class Market(Document):
    """One tick, format ``atomic-margin/market/1``.

    Attributes:
        sequence: number of the tick, rising.
        as_of: time of the quotes.
        rate: continuously compounded interest rate, a fraction a year.
        underlyings: quotes by underlying.
        collateral: USD price of one whole unit of each collateral asset that has no spot.
    """

    TAG: ClassVar[str] = "market"

    format: Literal["atomic-margin/market/1"]
    sequence: Annotated[int, integer_in(0, 2**63 - 1)]
    as_of: Instant
    rate: Annotated[Decimal, in_range("-1", "1")]
    underlyings: IdMap[UnderlyingQuotes]
    collateral: IdMap[Price]

    @model_validator(mode="after")
    def _check(self) -> "Market":
        for name, quotes in self.underlyings.items():
            for expiry, quote in quotes.expiries.items():
                path = f"underlyings.{name}.expiries.{expiry}"
                strikes = list(quote.volatilities)
                paths = [f"{path}.volatilities.{strike}" for strike in strikes]
                require_unique(map(Decimal, strikes), paths.__getitem__)
                if quote.forward is None and not quote.is_settled:
                    raise MalformedDocument(
                        f"{path}.forward", "missing; only an expiry whose settlement has elapsed 1 needs none"
                    )
                if quote.settlement is not None and quote.settlement.elapsed > 0:
                    self._check_window(path, self.years_to(instant(expiry)))
        return self

    def _check_window(self, path: str, years: float) -> None:
        # A source that says so earlier is mistaken, and would take all risk off what has not expired.
        if years > _LONGEST_WINDOW / _YEAR_SECONDS:
            raise OutOfRange(
                f"{path}.settlement.elapsed",
                f"above 0 more than {_LONGEST_WINDOW // 3600} hours before expiry; leave the settlement out until then",
            )

    def years_to(self, expiry: datetime) -> float:
        """Return the time from `as_of` to ``expiry`` in years of 365 days (ACT/365 fixed)."""
        return (expiry - self.as_of).total_seconds() / _YEAR_SECONDS


def check_market(market: Market, universe: Universe) -> None:
    """Make sure every instrument of ``universe`` is priced by ``market``, expired ones by their settlement price.

    A strike without a quote is priced where its expiry has one at all, see `ExpiryQuotes.volatility_at`.

    Raises:
        OutOfRange: expiry over 100 years ahead.
        UnpricedInstrument: no spot, forward, settlement price or volatility at any strike (field: where it is missing
            in the market).
    """
    for index, item in enumerate(universe.instruments):
        if item.expiry is not None and market.years_to(item.expiry) > _MAX_YEARS:
            raise OutOfRange(f"instruments[{index}].expiry", f"at most {_MAX_YEARS} years ahead of the market")
        quotes = market.underlyings.get(item.underlying)
        if quotes is None:
            raise UnpricedInstrument(f"underlyings.{item.underlying}", f"missing; {item.id!r} needs it")
        if item.expiry is not None:
            _check_expiry(item, item.expiry, quotes, item.expiry <= market.as_of)


def _check_expiry(item: Instrument, expiry: datetime, quotes: UnderlyingQuotes, expired: bool) -> None:
    path = f"underlyings.{item.underlying}.expiries.{format_instant(expiry)}"
    quote = quotes.expiries.get(format_instant(expiry))
    if quote is None:
        raise UnpricedInstrument(path, f"missing; {item.id!r} needs a forward there")
    if expired and not quote.is_settled:
        raise UnpricedInstrument(
            f"{path}.settlement",
            f"{item.id!r} has expired and needs its settlement price: an average with elapsed 1",
        )
    if quote.is_settled:
        return
    if item.strike is not None and quote.volatility_at(item.strike) is None:
        raise UnpricedInstrument(
            f"{path}.volatilities", f"no strike has a quote; {item.id!r} needs at least one to interpolate from"
        )


@dataclass(frozen=True)
class InterpolatedQuote:
    """A volatility that nobody quoted.

    Attributes:
        underlying: of the option.
        expiry: of the option, as the market spells it.
        strike: USD per unit of underlying.
        volatility: found between its neighbours, or held from the outermost quote; a fraction a year.
    """

    underlying: str
    expiry: str
    strike: Decimal
    volatility: float

    def __str__(self) -> str:
        """Return underlying, expiry, strike and volatility."""
        return f"{self.underlying} {self.expiry} {self.strike:f} at {self.volatility:.4f}"


def interpolated_quotes(market: Market, universe: Universe) -> tuple[InterpolatedQuote, ...]:
    """Return what options of ``universe`` are priced from although no quote says it, by underlying, expiry and strike.

    What is settled needs no volatility and is not listed.

    Raises:
        DocumentError: the market does not price the universe (see `check_market`).
    """
    check_market(market, universe)
    return tuple(sorted(set(_interpolated(market, universe)), key=lambda one: (one.underlying, one.expiry, one.strike)))


def _interpolated(market: Market, universe: Universe) -> Iterator[InterpolatedQuote]:
    for item in universe.instruments:
        if item.expiry is None or item.strike is None:
            continue
        expiry = format_instant(item.expiry)
        quote = market.underlyings[item.underlying].expiries[expiry]
        if not quote.is_settled and quote.volatility(item.strike) is None:
            volatility = quote.volatility_at(item.strike)
            yield InterpolatedQuote(item.underlying, expiry, item.strike, volatility or 0.0)


def check_crossed(market: Market) -> None:
    """Make sure no two quotes of an expiry are crossed: a vertical spread is worth from 0 to its strikes' difference.

    For whoever takes prices from one source. A tick of several sources is a median quote by quote and need not be free
    of arbitrage, so `check_market` does not ask for this. Undiscounted; off by up to a ten-thousandth of the forward is
    let through, and an expiry that is over is not looked at.

    Raises:
        CrossedPrices: naming the second of two neighbouring strikes.
    """
    for name, quotes in market.underlyings.items():
        for expiry, quote in quotes.expiries.items():
            years = market.years_to(instant(expiry))
            if years > 0 and quote.forward is not None:
                _check_spreads(quote, years, f"underlyings.{name}.expiries.{expiry}.volatilities")


def _check_spreads(quote: ExpiryQuotes, years: float, path: str) -> None:
    strikes = sorted(quote.volatilities, key=Decimal)
    k = np.array([float(strike) for strike in strikes])
    forward = float(quote.forward or 0)
    calls = black76(forward, k, [float(quote.volatilities[strike]) for strike in strikes], years, True)
    spread, room = calls[:-1] - calls[1:], _CROSSED * forward
    bad = np.flatnonzero((spread < -room) | (spread > np.diff(k) + room))
    if bad.size:
        low, high = strikes[bad[0]], strikes[bad[0] + 1]
        raise CrossedPrices(
            f"{path}.{high}",
            f"the call spread of strikes {low} and {high} is worth {spread[bad[0]]:.2f} a unit, not from 0 to their "
            "difference: correct one of the two volatilities",
        )
