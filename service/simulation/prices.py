"""The prices of a crash: a path that is drawn once, and what forced sales add to it.

    log price  =  log(path)  +  d,     d'  =  (1 - resilience) d  +  log(1 - 0.01 · sold / depth)

with `sold` the notional, USD, that is sold of an underlying within a tick; bought back is negative. Sales move spot,
perpetuals and forwards of an underlying alike; implied volatility rises with how far prices are below their beginning.
"""

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.service.simulation.assumptions import Assumptions

_LEAST_FACTOR = 0.02
"""Prices keep so much of their beginning whatever is sold: the formula would go to zero."""


class Prices:
    """Prices of every underlying, tick by tick."""

    def __init__(self, assumptions: Assumptions, base: dict[str, Any], draw: np.random.Generator) -> None:
        """Draw the path.

        Args:
            assumptions: of the crash.
            base: market document that it begins with.
            draw: generator.
        """
        self._assumed, self._base = assumptions, base
        self.names = tuple(base["underlyings"])
        self.path = _path(assumptions, len(self.names), draw)
        self._moved = np.zeros(len(self.names))

    def factors(self, tick: int) -> Floats:
        """Return prices at a tick as multiples of those at the beginning, one for each underlying."""
        whole: Floats = np.maximum(np.exp(np.log(self.path[tick]) + self._moved), _LEAST_FACTOR)
        return whole

    def sell(self, notional: Floats) -> None:
        """Take what is sold at a tick, USD of each underlying; it moves the prices of the next one."""
        fall = np.clip(0.01 * notional / self._assumed.depth_usd, -0.5, 0.5)
        self._moved = (1 - self._assumed.resilience) * self._moved + np.log1p(-fall)

    def market(self, tick: int, factors: Floats) -> Market:
        """Return the market document of a tick, numbered from 1."""
        base, moment = self._base, instant(self._base["as_of"]) + timedelta(minutes=tick)
        fallen = max(0.0, 1 - float(factors.min()))
        rise = 1 + self._assumed.volatility_rise * min(1.0, fallen / max(self._assumed.crash, 0.01))
        underlyings = {
            name: _moved(quote, float(factor), rise)
            for (name, quote), factor in zip(base["underlyings"].items(), factors, strict=True)
        }
        return Market.parse(
            {**base, "sequence": str(tick + 1), "as_of": instant_text(moment), "underlyings": underlyings}
        )


def _path(assumed: Assumptions, count: int, draw: np.random.Generator) -> Floats:
    steps = np.zeros(assumed.ticks)
    falling = slice(assumed.crash_at, min(assumed.ticks, assumed.crash_end))
    steps[falling] = math.log1p(-assumed.crash) / assumed.crash_ticks
    bottom = 1 - assumed.crash
    back = math.log((bottom + assumed.recovery * assumed.crash) / bottom) / assumed.crash_ticks
    steps[assumed.crash_end : assumed.crash_end + assumed.crash_ticks] = back
    noise = draw.normal(size=(assumed.ticks, count)) * assumed.noise
    path: Floats = np.exp(np.cumsum(steps[:, None] + noise, axis=0))
    return path


def _moved(quote: dict[str, Any], factor: float, rise: float) -> dict[str, Any]:
    expiries = {
        name: {
            **one,
            "forward": _text(float(one["forward"]) * factor, 2),
            "volatilities": {
                strike: _text(float(volatility) * rise, 4) for strike, volatility in one["volatilities"].items()
            },
        }
        for name, one in quote["expiries"].items()
    }
    prices = {name: _text(float(quote[name]) * factor, 2) for name in ("spot", "perpetual")}
    return {**quote, **prices, "expiries": expiries}


def _text(value: float, digits: int) -> str:
    return format(Decimal(value).quantize(Decimal(1).scaleb(-digits)), "f")
