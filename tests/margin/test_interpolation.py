"""Straight lines between nodes, and volatilities that nobody quoted."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atomic_margin.margin.market.elementary import SCALARS
from atomic_margin.margin.market.interpolation import interpolate
from atomic_margin.margin.market.market import ExpiryQuotes, Market, interpolated_quotes
from atomic_margin.margin.market.universe import Universe

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@st.composite
def nodes(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    places = sorted(draw(st.lists(numbers, min_size=1, max_size=6)))
    return places, draw(st.lists(numbers, min_size=len(places), max_size=len(places)))


@given(nodes(), st.lists(numbers, min_size=1, max_size=8))
def test_arrays_and_plain_floats_give_the_same_bits(line: tuple[list[float], list[float]], at: list[float]) -> None:
    both = [*at, *line[0]]
    found = interpolate(np.array(both), *line)
    assert found.tolist() == [interpolate(each, *line, SCALARS) for each in both]


@example(([0.0, 1.0, 1.0], [0.0, 0.0, 1.0]), 1.0)
@example(([0.0, 1.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0]), 1.0)
@given(nodes(), numbers)
def test_values_stay_between_neighbours_and_flat_outside(line: tuple[list[float], list[float]], at: float) -> None:
    places, values = line
    found = interpolate(at, places, values, SCALARS)
    there = [value for place, value in zip(places, values, strict=True) if place == at]
    if there:
        # Several nodes at one place are a step, and it is taken behind the place.
        assert found == there[0]
    elif at < places[0]:
        assert found == values[0]
    elif at > places[-1]:
        assert found == values[-1]
    else:
        right = next(index for index, place in enumerate(places) if place > at)
        low, high = sorted(values[right - 1 : right + 1])
        assert low <= found <= high


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=6, unique=True), st.data())
def test_nothing_steps(places: list[int], data: st.DataObject) -> None:
    places.sort()
    values = [data.draw(st.floats(-1, 1)) for _ in places]
    steepest = max(abs(b - a) / (q - p) for a, b, p, q in zip(values, values[1:], places, places[1:], strict=False))
    at = data.draw(st.floats(-1100, 1100))
    near = [interpolate(at + step, [*map(float, places)], values, SCALARS) for step in (0.0, 1e-6)]
    assert abs(near[1] - near[0]) <= steepest * 1e-6 + 1e-9


def quotes(**given: str) -> ExpiryQuotes:
    return ExpiryQuotes.model_validate(
        {"forward": "100", "volatilities": {key[1:]: value for key, value in given.items()}}
    )


def test_total_variance_is_a_straight_line_in_the_logarithm_of_the_strike() -> None:
    smile = quotes(k50="0.9", k200="0.3")
    # 100 is half way from 50 to 200 by logarithm.
    assert smile.volatility_at(Decimal(100)) == pytest.approx(math.sqrt((0.9**2 + 0.3**2) / 2), rel=1e-15)
    assert smile.volatility_at(Decimal("50.000")) == 0.9
    assert smile.volatility_at(Decimal(1)) == 0.9
    assert smile.volatility_at(Decimal(100_000)) == 0.3
    assert quotes().volatility_at(Decimal(100)) is None
    assert smile.volatility(Decimal(100)) is None


@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 5000)), min_size=1, unique_by=lambda one: one[0]),
       st.integers(1, 10**12))  # fmt: skip
def test_a_volatility_is_within_its_neighbours(smile: list[tuple[int, int]], strike: int) -> None:
    spelled = {str(at): f"{Decimal(value) / 100:f}" for at, value in smile}
    found: Any = ExpiryQuotes.model_validate({"forward": "1", "volatilities": spelled}).volatility_at(Decimal(strike))
    below = [value for at, value in sorted(smile) if at <= strike][-1:]
    above = [value for at, value in sorted(smile) if at >= strike][:1]
    near = [float(Decimal(value) / 100) for value in below + above]
    assert min(near) <= found <= max(near)


def test_what_nobody_quoted_is_listed_once_and_in_order(example: Callable[[str], dict[str, Any]]) -> None:
    given_ = example("market-1")
    universe = Universe.parse(example("universe"))
    assert interpolated_quotes(Market.parse(given_), universe) == ()
    for name, strikes in (("ETH", ("3000",)), ("BTC", ("120000", "90000"))):
        for expiry in given_["underlyings"][name]["expiries"].values():
            for strike in strikes:
                expiry["volatilities"].pop(strike, None)
    found = interpolated_quotes(Market.parse(given_), universe)
    listed = {
        (item.underlying, item.strike) for item in universe.instruments if item.kind == "option"
        if (item.underlying, f"{item.strike:f}") in {("ETH", "3000"), ("BTC", "120000"), ("BTC", "90000")}
    }  # fmt: skip
    assert {(one.underlying, one.strike) for one in found} == listed
    assert list(found) == sorted(found, key=lambda one: (one.underlying, one.expiry, one.strike))
    assert len(set(found)) == len(found)
