"""Black-76, vectorised: European options on a forward.

For the margin models, their weights and their references. Everything broadcasts, so all instruments under all scenarios
are one call; the bits are the same on every machine, see `elementary`. Source: F. Black, "The pricing of commodity
contracts", Journal of Financial Economics 3 (1976), 167-179.

>>> price = black76(forward=100.0, strike=100.0, volatility=0.2, years=1.0, is_call=True, rate=0.0)
>>> round(float(price), 4)
7.9656
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.market.elementary import ARRAYS, Floats, Operations, exp, log, normal_cdf

__all__ = ["Floats", "black76", "read_only"]


def black76(
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    volatility: npt.ArrayLike,
    years: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> Floats:
    """Return option values, in the currency of the forward, of the broadcast shape of the arguments.

    With w = volatility² * years, d1 = ln(F/K)/sqrt(w) + sqrt(w)/2 and d2 = d1 - sqrt(w), a call is worth
    exp(-rate*years) * (F N(d1) - K N(d2)) and a put exp(-rate*years) * (K N(-d2) - F N(-d1)). The out-of-the-money side
    is computed and parity gives the other, which keeps deep in-the-money values accurate. As w -> 0 (no volatility, or
    at expiry) the value is the discounted intrinsic value.

    Args:
        forward: F, at least zero.
        strike: K, above zero.
        volatility: a fraction a year, at least 0.
        years: time to expiry, at least 0.
        is_call: true for calls.
        rate: continuously compounded, a fraction a year.
    """
    f, k, v, t, r = (np.asarray(item, dtype=np.float64) for item in (forward, strike, volatility, years, rate))
    # What branches that are not taken overflow or divide by is of no consequence.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        value: Floats = np.asarray(option_value(f, k, v, t, np.asarray(is_call), r))
    return value


def option_value(
    forward: Any, strike: Any, volatility: Any, years: Any, is_call: Any, rate: Any, on: Operations = ARRAYS
) -> Any:
    """Return what `black76` returns, by operations on arrays or on plain floats; the bits are the same."""
    deviation = volatility * on.root(years)
    spread = deviation > 0
    # Tiny deviations and vanishing forwards send d1 to ±inf, where N has its limit; w = 0 is masked to avoid 0/0.
    d1 = log(forward / strike, on) / on.where(spread, deviation, 1.0) + deviation / 2
    d2 = d1 - deviation
    out = on.where(forward >= strike, -1.0, 1.0)
    time_value = out * (forward * normal_cdf(out * d1, on) - strike * normal_cdf(out * d2, on))
    time_value = on.where(spread, on.maximum(time_value, 0.0), 0.0)
    intrinsic = on.maximum(on.where(is_call, forward - strike, strike - forward), 0.0)
    return exp(-rate * years, on) * (intrinsic + time_value)


def read_only(values: npt.ArrayLike) -> Floats:
    """Return a float64 copy of ``values`` that cannot be written to."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array
