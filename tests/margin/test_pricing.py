"""Black-76 against an independent scalar implementation, parity and limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.margin import black76

prices = st.floats(0.01, 1e6)
volatilities = st.floats(0.01, 3)
years = st.floats(1e-4, 5)
rates = st.floats(-0.1, 0.2)


def scalar(f: float, k: float, v: float, t: float, is_call: bool, r: float) -> float:
    """The formula as Black wrote it, with the error function."""

    def cdf(x: float) -> float:
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    w = v * math.sqrt(t)
    d1 = math.log(f / k) / w + w / 2
    d2 = d1 - w
    sign = 1 if is_call else -1
    return math.exp(-r * t) * sign * (f * cdf(sign * d1) - k * cdf(sign * d2))


@given(prices, st.floats(-2, 2), volatilities, years, st.booleans(), rates)
def test_it_is_the_published_formula(f: float, m: float, v: float, t: float, is_call: bool, r: float) -> None:
    k = f * math.exp(m)
    assert float(black76(f, k, v, t, is_call, r)) == pytest.approx(scalar(f, k, v, t, is_call, r), abs=1e-12 * (f + k))


def test_a_textbook_value() -> None:
    # Hull, "Options, Futures, and Other Derivatives": put on a crude oil future, four months, 25 %, r = 9 %.
    assert float(black76(20, 20, 0.25, 4 / 12, False, 0.09)) == pytest.approx(1.12, abs=0.005)


@given(prices, prices, volatilities, years, rates)
def test_put_call_parity(f: float, k: float, v: float, t: float, r: float) -> None:
    call, put = black76(f, k, v, t, True, r), black76(f, k, v, t, False, r)
    assert float(call - put) == pytest.approx(math.exp(-r * t) * (f - k), abs=1e-12 * (f + k))


@given(prices, prices, volatilities, years, st.booleans(), rates)
def test_bounds_and_monotony_in_volatility(f: float, k: float, v: float, t: float, is_call: bool, r: float) -> None:
    value = float(black76(f, k, v, t, is_call, r))
    discount = math.exp(-r * t)
    noise = 1e-12 * (f + k)
    assert value >= discount * max(f - k if is_call else k - f, 0) - noise
    assert value <= discount * (f if is_call else k) + noise
    assert float(black76(f, k, 1.5 * v, t, is_call, r)) >= value - noise


@pytest.mark.parametrize(("v", "t"), [(0.0, 1.0), (0.5, 0.0), (0.0, 0.0), (1e-300, 1.0), (5e-324, 1e-300)])
@pytest.mark.parametrize(("f", "k"), [(100.0, 90.0), (90.0, 100.0), (100.0, 100.0)])
@pytest.mark.parametrize("is_call", [True, False])
def test_without_variance_it_is_the_discounted_intrinsic_value(
    v: float, t: float, f: float, k: float, is_call: bool
) -> None:
    intrinsic = max(f - k if is_call else k - f, 0)
    assert float(black76(f, k, v, t, is_call, 0.05)) == pytest.approx(math.exp(-0.05 * t) * intrinsic, abs=1e-12)


def test_a_call_with_endless_volatility_is_worth_the_forward() -> None:
    assert float(black76(100, 80, 50, 100, True)) == pytest.approx(100)
    assert float(black76(100, 80, 50, 100, False)) == pytest.approx(80)


def test_it_broadcasts_scenarios_against_instruments() -> None:
    forwards = np.array([[90.0], [100.0], [110.0]])
    strikes = np.array([80.0, 100.0, 120.0, 140.0])
    table = black76(forwards, strikes, 0.6, 0.5, np.array([True, False, True, False]), 0.03)
    assert table.shape == (3, 4)
    assert table[2, 1] == black76(110.0, 100.0, 0.6, 0.5, False, 0.03)


def test_a_forward_that_vanishes_leaves_the_put_its_strike() -> None:
    assert float(black76(0.0, 80, 0.5, 1, True)) == 0
    assert float(black76(0.0, 80, 0.5, 1, False)) == 80
