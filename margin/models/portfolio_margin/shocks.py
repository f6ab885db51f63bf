"""How volatility shocks of both versions of `pmrm` scale with time to expiry; for their price grids."""

import numpy as np

from atomic_margin.margin.market import elementary
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.positions import Legs, floats

# Volatility shocks are those of this term, and scaled by a power of time to others.
TERM_SECONDS = 30 * 86400

# Above this a shock of volatility changes no value any more; it keeps the shortest terms and largest powers finite.
_MOST = 1e100


def term_shocks(legs: Legs, short_power: float, long_power: float, floor: float) -> Floats:
    """Return (E,) what volatility shocks of 30 days are multiplied by at each expiry.

    At expiry (0 seconds, and no floor) options are worth their intrinsic value whatever it is.

    Args:
        legs: the instruments.
        short_power: of the ratio of times, for expiries of up to 30 days.
        long_power: likewise beyond.
        floor: seconds that a shorter time counts as; 0 for none.
    """
    seconds = floats(legs.expiries)
    power = np.where(seconds <= TERM_SECONDS, short_power, long_power)
    floored = np.maximum(seconds, floor)
    shocks: Floats = elementary.power(TERM_SECONDS / np.where(floored > 0, floored, 1.0), power)
    return np.minimum(shocks, _MOST)
