"""What a universe is worth at one tick, and under moves of its prices: the one place where instruments are priced.

For every model of a published universe. Futures and perpetuals are worth their price, options Black-76
(`pricing.black76`) on the forward of their expiry. Profit counts from published reference prices; of perpetuals what
funding has taken is off:

    profit of a unit  =  (V - Ref) - (I - I_Ref)

**Expiry.** Once the window has begun in which a settlement price is averaged, what expires there is worth, at a price
P of the underlying,

    Settle(P)  =  w · average + (1 - w) · P

with w the part of the window that is over, 1 from expiry on; an option what `black76` gives at that price, with its
volatility times 1 - w, since only the rest of the average can still move. So a put whose window has ended offsets no
crash. What is settled has no risk, hence no charge.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.strict import format_instant
from atomic_margin.margin.market.market import ExpiryQuotes, Market, check_market
from atomic_margin.margin.market.pricing import Floats, black76, read_only
from atomic_margin.margin.market.universe import Universe

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Valuation:
    """I instruments at one tick; read-only. Prices are USD per unit of underlying.

    Attributes:
        lot: (I,) contract sizes.
        underlying: (I,) index of the underlying, in the universe's order.
        spot: (I,) spot of the underlying.
        price: (I,) perpetual or forward; what options are priced on.
        strike: (I,) of options, 1 elsewhere.
        volatility: (I,) of options, 0 elsewhere.
        years: (I,) to expiry of options, 0 elsewhere.
        elapsed: (I,) w, part of the settlement window that is over.
        average: (I,) settlement price so far, 0 where w is.
        is_option: (I,) which are options.
        is_call: (I,) which are calls.
        is_dated: (I,) which are no perpetuals.
        rate: continuously compounded, a fraction a year.
        now: (I,) value of a unit.
        profit: (I,) of a unit since the reference price, USD.
    """

    lot: Floats
    underlying: npt.NDArray[np.intp]
    spot: Floats
    price: Floats
    strike: Floats
    volatility: Floats
    years: Floats
    elapsed: Floats
    average: Floats
    is_option: Booleans
    is_call: Booleans
    is_dated: Booleans
    rate: float
    now: Floats
    profit: Floats

    def under(self, spot: Floats, volatility: Floats, basis: Floats) -> Floats:
        """Return the value of a unit under S moves, (S, I).

        Args:
            spot: relative moves of spot, (S, I); perpetuals and forwards move with it.
            volatility: relative moves of implied volatility, (S, I).
            basis: relative moves of dated forwards against spot, (S, I).
        """
        with np.errstate(over="ignore"):
            prices = self.price * (1 + spot) * (1 + basis * self.is_dated)
            return self._value(prices, self.volatility * (1 + volatility))

    def charge(self, fraction: Floats) -> Floats:
        """Return charges of one lot, (I,) USD, from fractions of spot, (I,); what is settled has none."""
        return np.where(self.elapsed == 1, 0.0, self.lot * self.spot * fraction)

    def _value(self, prices: Floats, volatilities: Floats) -> Floats:
        # Where no window has begun, prices stay as they are to the bit.
        begun = self.elapsed > 0
        settle = np.where(begun, self.elapsed * self.average + (1 - self.elapsed) * prices, prices)
        moving = np.where(begun, volatilities * (1 - self.elapsed), volatilities)
        options = black76(settle, self.strike, moving, self.years, self.is_call, self.rate)
        return np.where(self.is_option, options, settle)


def value(universe: Universe, market: Market) -> Valuation:
    """Return what the instruments of a universe are worth at a market.

    Raises:
        DocumentError: market and universe do not fit together (see `check_market`).
    """
    check_market(market, universe)
    items = universe.instruments
    names = {name: index for index, name in enumerate(universe.underlyings)}
    quotes = [market.underlyings[item.underlying] for item in items]
    dated = [
        quote.expiries[format_instant(item.expiry)] if item.expiry else None
        for item, quote in zip(items, quotes, strict=True)
    ]
    settlements = [quote.settlement if quote else None for quote in dated]
    volatilities = [
        _volatility(quote, item.strike) if quote and item.strike else 0.0
        for quote, item in zip(dated, items, strict=True)
    ]
    years = [max(0.0, market.years_to(item.expiry)) if item.kind == "option" and item.expiry else 0.0 for item in items]
    funding = [
        float(quote.funding_index or 0) - float(item.reference_funding_index or 0) if item.kind == "perpetual" else 0.0
        for item, quote in zip(items, quotes, strict=True)
    ]
    bare = Valuation(
        lot=read_only([float(item.lot) for item in items]),
        underlying=np.array([names[item.underlying] for item in items], dtype=np.intp),
        spot=read_only([float(quote.spot) for quote in quotes]),
        price=read_only(
            [float(q.perpetual) if e is None else float(e.forward or 0) for e, q in zip(dated, quotes, strict=True)]
        ),
        strike=read_only([float(item.strike or 1) for item in items]),
        volatility=read_only(volatilities),
        years=read_only(years),
        elapsed=read_only([float(given.elapsed) if given else 0.0 for given in settlements]),
        average=read_only([float(given.average) if given and given.elapsed else 0.0 for given in settlements]),
        is_option=np.array([item.kind == "option" for item in items]),
        is_call=np.array([item.right == "call" for item in items]),
        is_dated=np.array([item.kind != "perpetual" for item in items]),
        rate=float(market.rate),
        now=read_only([]),
        profit=read_only([]),
    )
    now = bare._value(bare.price, bare.volatility)
    reference = np.array([float(item.reference_price) for item in items])
    return replace(bare, now=read_only(now), profit=read_only(now - reference - np.array(funding)))


def _volatility(quote: ExpiryQuotes, strike: Decimal) -> float:
    return quote.volatility_at(strike) or 0.0
