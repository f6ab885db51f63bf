"""Expiry: settlement averages, what they take off risk, and a tick that nothing that expired can stop."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError, MalformedDocument, OutOfRange
from atomic_margin.margin import Market, Portfolio, check_market, errors
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.trades import booked
from atomic_margin.margin.market.valuation import value

from ..lines import FLAT
from .test_cash import excess, integer_excess, market_json, universe_of

EXPIRY = "2026-12-25T08:00:00Z"


def at(time: str, spot: str = "100000", **expiry: Any) -> Market:
    return Market.parse({**market_json(spot, **expiry), "as_of": time})


def settled(average: str, spot: str = "100000", time: str = EXPIRY) -> Market:
    return at(time, spot, forward=None, volatilities={}, settlement={"average": average, "elapsed": "1"})


def book_of(**held: int) -> Portfolio:
    universe = universe_of(reference="100000")
    named = {"future": "BTC-DEC", "call": "BTC-C"}
    return booked(universe, {named[name]: lots for name, lots in held.items()}, Fraction(0))


def test_an_expired_book_is_its_payoff_in_cash() -> None:
    universe, market = universe_of(reference="100000"), settled("112500")
    cases = [
        ({"future": 10}, 1 * (112_500 - 100_000)),
        ({"future": -10}, -1 * (112_500 - 100_000)),
        ({"call": 10}, 1 * (2_500 - 3_000)),
        ({"call": -10}, -1 * (2_500 - 3_000)),
    ]
    for held, profit in cases:
        found = excess(book_of(**held), universe, market)
        assert found == {kind: pytest.approx(profit) for kind in KINDS}
        integers = integer_excess(book_of(**held), universe, market, 1 << 26)
        assert all(profit - 64 <= integers[kind, "fhe"] <= profit for kind in KINDS)
        assert all(profit - 0.1 <= integers[kind, "proof"] <= profit for kind in KINDS)


def test_a_put_offsets_no_crash_after_its_window() -> None:
    universe = universe_of({}, {}, {"right": "put", "strike": "90000"}, reference="100000")
    book = Portfolio.parse(
        {
            **FLAT,
            "lines": [
                {"instrument": "BTC-PERP", "side": "long", "lots": "100", "price": "100000", "funding_index": "0"},
                {"instrument": "BTC-C", "side": "long", "lots": "100", "price": "0"},
            ],
        }
    )
    hedged = at("2026-12-25T07:00:00Z", volatilities={"90000": "0.5"})
    over = settled("100000")
    # The put covers what lies below its strike while it lives; then the perpetual falls alone.
    assert excess(book, universe, hedged)["maintenance"] > -10 * 10_000 - 10 * 200 - 10 * 3000
    assert excess(book, universe, over)["maintenance"] == pytest.approx(-10 * 20_000 - 10 * 100)


def test_within_the_window_only_what_is_left_of_it_moves() -> None:
    universe = universe_of(reference="100000")
    shares = [0.0, 0.25, 0.75, 1.0]
    falls = []
    for share in shares:
        settlement = {"average": "100000", "elapsed": str(share)}
        market = at("2026-12-25T07:45:00Z", settlement=settlement)
        values = value(universe, market)
        down = np.full((1, 3), -0.2)
        falls.append(float((values.under(down, np.zeros((1, 3)), np.zeros((1, 3))) - values.now)[0, 1]))
    assert falls == pytest.approx([-20_000 * (1 - share) for share in shares])


@settings(deadline=None, max_examples=30)
@given(
    share=st.sampled_from(["0", "0.1", "0.5", "0.999", "1"]),
    average=st.integers(50_000, 200_000),
    spot=st.integers(50_000, 200_000),
    future=st.integers(-300, 300),
    call=st.integers(-300, 300),
)
def test_integers_stay_below_within_the_window(share: str, average: int, spot: int, future: int, call: int) -> None:
    universe = universe_of(reference="100000")
    settlement = {"average": str(average), "elapsed": share}
    market = at("2026-12-25T07:45:00Z", str(spot), settlement=settlement)
    book = book_of(future=future, call=call)
    true = excess(book, universe, market)
    for (kind, _), found in integer_excess(book, universe, market, 1 << 28).items():
        assert found <= true[kind] + 1e-6 * max(1.0, abs(true[kind]))


def test_an_expired_instrument_needs_its_settlement_price() -> None:
    universe = universe_of()
    with pytest.raises(errors.UnpricedInstrument) as caught:
        check_market(at(EXPIRY), universe)
    assert caught.value.field == f"underlyings.BTC.expiries.{EXPIRY}.settlement"
    assert "an average with elapsed 1" in str(caught.value)
    check_market(settled("100000"), universe)
    check_market(settled("100000", time="2027-02-01T00:00:00Z"), universe)


def test_a_quote_has_a_forward_or_is_settled() -> None:
    with pytest.raises(MalformedDocument) as caught:
        at("2026-12-25T07:45:00Z", forward=None)
    assert caught.value.field == f"underlyings.BTC.expiries.{EXPIRY}.forward"


def test_no_window_begins_a_day_before_expiry() -> None:
    with pytest.raises(OutOfRange) as caught:
        at("2026-12-24T07:00:00Z", settlement={"average": "100000", "elapsed": "0.5"})
    assert caught.value.field == f"underlyings.BTC.expiries.{EXPIRY}.settlement.elapsed"
    assert isinstance(caught.value, DocumentError)
