"""Strikes that some sources quote and others do not."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.margin.market.market import Market, interpolated_quotes
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.errors import PriceMoveTooLarge
from atomic_margin.service.feed.combine import check_move, combine

from .documents import Json, full_example, price_rules
from .test_feed_combine import ARRIVED, EXPIRY, PLACE, SOURCES, market, signed


def quoting(*strikes: str) -> Json:
    """The first example with these strikes of BTC alone."""
    body = market()
    expiry = body["underlyings"]["BTC"]["expiries"][EXPIRY]
    expiry["volatilities"] = {strike: expiry["volatilities"][strike] for strike in strikes}
    return body


def test_a_strike_that_too_few_sources_quote_is_interpolated_and_marked() -> None:
    universe = Universe.parse(full_example("universe"))
    whole = ("80000", "90000", "100000", "110000", "120000")
    rules = price_rules(*SOURCES[:3])
    assert rules.required == 2
    for bodies, missing in (
        ([quoting(*whole), quoting(*whole), quoting(*whole[:4])], ()),
        ([quoting(*whole), quoting(*whole[:4]), quoting(*whole[:4])], ("120000",)),
        ([quoting(*whole), quoting("80000", "100000"), quoting("100000", "110000")], ("90000", "120000")),
    ):
        prices = combine(signed(*bodies), rules, PLACE, ARRIVED).market
        found = interpolated_quotes(prices, universe)
        assert tuple(f"{one.strike:f}" for one in found) == missing
        assert all(one.underlying == "BTC" and one.expiry == EXPIRY for one in found)
    # A strike that one source alone quotes counts for nothing, whatever it says: no bound is measured from it.
    wild = quoting(*whole)
    wild["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"]["120000"] = "40"
    result = combine(signed(quoting(*whole[:4]), quoting(*whole[:4]), wild), rules, PLACE, ARRIVED)
    assert result.dropped == ()
    (wing,) = interpolated_quotes(result.market, universe)
    assert wing.volatility == float(
        quoting("110000")["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"]["110000"]
    )


def test_one_strike_is_one_quote_however_sources_spell_it() -> None:
    other = quoting("80000", "90000", "100000")
    volatilities = other["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"]
    volatilities["80000.0"] = volatilities.pop("80000")
    prices = combine(signed(quoting("80000", "90000", "100000"), other), price_rules(*SOURCES[:3]), PLACE, ARRIVED)
    assert set(prices.market.underlyings["BTC"].expiries[EXPIRY].volatilities) == {"80000", "90000", "100000"}


@settings(deadline=None, max_examples=40)
@given(lies=st.lists(st.integers(1, 200), min_size=2, max_size=2), honest=st.integers(40, 60))
def test_two_of_the_three_that_quote_a_strike_stay_near_the_third_or_lose_it(lies: list[int], honest: int) -> None:
    """Five sources, three required: liars are few of those that count, but most of those that quote the wing."""
    whole = ("80000", "90000", "100000", "110000", "120000")
    bodies = [quoting(*whole) for _ in range(3)] + [quoting(*whole[:4])] * 2
    for body, percent in zip(bodies, [honest, *lies], strict=False):
        volatilities = body["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"]
        volatilities["120000"] = f"{Decimal(percent) / 100:f}"
    found = combine(signed(*bodies), price_rules(*SOURCES), PLACE, ARRIVED).market
    wing = found.underlyings["BTC"].expiries[EXPIRY].volatility(Decimal(120_000))
    if wing is not None:
        assert abs(wing - Decimal(honest) / 100) <= Decimal("0.05")
    else:
        assert max(abs(lie - honest) for lie in lies) > 5


def test_a_strike_that_is_left_out_moves_no_further_than_one_that_is_quoted() -> None:
    before, after = Market.parse(quoting("80000", "100000", "120000")), quoting("80000", "100000")
    bounds = price_rules(SOURCES[0], move={"price": "0.5", "volatility": "0.03", "rate": "0.05"}).move
    smile = before.underlyings["BTC"].expiries[EXPIRY].volatilities
    check_move(before, before, bounds)
    wing = abs(smile["120000"] - smile["100000"])
    assert wing > 0
    path = f"underlyings.BTC.expiries.{EXPIRY}.volatilities"
    for place, bound in (("120000", wing), ("120000", wing - Decimal("0.0001"))):
        held = bounds.model_copy(update={"volatility": bound})
        if bound == wing:
            check_move(before, Market.parse(after), held)
        else:
            with pytest.raises(PriceMoveTooLarge, match="which nobody quotes any more") as caught:
                check_move(before, Market.parse(after), held)
            assert caught.value.field == f"{path}.{place}"
    # Quoted anew it has nothing before it, and what has expired moves no more.
    check_move(Market.parse(after), before, bounds.model_copy(update={"volatility": wing / 2}))
    settled = quoting("80000")
    settled["as_of"] = EXPIRY
    settled["underlyings"]["BTC"]["expiries"][EXPIRY] = {
        "settlement": {"average": "96890", "elapsed": "1"}, "volatilities": {}}  # fmt: skip
    for name in set(settled["underlyings"]) - {"BTC"}:
        settled["underlyings"][name]["expiries"] = {}
    check_move(before, Market.parse(settled), bounds.model_copy(update={"volatility": Decimal("0.0001")}))
    # Between two neighbours it is what margin takes there.
    middle = Market.parse(quoting("80000", "120000"))
    taken = middle.underlyings["BTC"].expiries[EXPIRY].volatility_at(Decimal(100_000)) or 0.0
    off = abs(Decimal(repr(taken)) - smile["100000"])
    check_move(before, middle, bounds.model_copy(update={"volatility": off}))
    with pytest.raises(PriceMoveTooLarge):
        check_move(before, middle, bounds.model_copy(update={"volatility": off * Decimal("0.999")}))


def test_a_strike_keeps_all_its_digits() -> None:
    fine = "9.1234567890123456789012345678"
    body = quoting("80000", "90000")
    body["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"] |= {fine: "0.7", "100.10": "0.7", "1000": "0.7"}
    prices = combine(signed(body, body), price_rules(*SOURCES[:3]), PLACE, ARRIVED).market
    assert set(prices.underlyings["BTC"].expiries[EXPIRY].volatilities) == {"80000", "90000", fine, "100.1", "1000"}
