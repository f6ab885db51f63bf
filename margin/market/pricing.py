"""Black-76, vectorised: European options on a forward.

For the margin models, their weights and their references. Everything broadcasts, so all instruments under all scenarios
are one call. Source: F. Black, "The pricing of commodity contracts", Journal of Financial Economics 3 (1976), 167-179.

>>> price = black76(forward=100.0, strike=100.0, volatility=0.2, years=1.0, is_call=True, rate=0.0)
>>> round(float(price), 4)
7.9656
"""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Floats = npt.NDArray[np.float64]


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
    f, k = np.asarray(forward, dtype=np.float64), np.asarray(strike, dtype=np.float64)
    t = np.asarray(years, dtype=np.float64)
    deviation = np.asarray(volatility, dtype=np.float64) * np.sqrt(t)
    spread = deviation > 0
    # Tiny deviations and vanishing forwards send d1 to ±inf, where N has its limit; w = 0 is masked to avoid 0/0.
    with np.errstate(over="ignore", divide="ignore"):
        d1 = np.log(f / k) / np.where(spread, deviation, 1.0) + deviation / 2
    d2 = d1 - deviation
    out = np.where(f >= k, -1.0, 1.0)
    time_value = np.where(spread, np.maximum(out * (f * ndtr(out * d1) - k * ndtr(out * d2)), 0.0), 0.0)
    intrinsic = np.maximum(np.where(np.asarray(is_call), f - k, k - f), 0.0)
    value: Floats = np.exp(-np.asarray(rate, dtype=np.float64) * t) * (intrinsic + time_value)
    return value


def read_only(values: npt.ArrayLike) -> Floats:
    """Return a float64 copy of ``values`` that cannot be written to."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array
