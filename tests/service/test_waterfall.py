"""The waterfall as a function: value is conserved to the last unit, and nobody pays before the one above."""

import json
import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.waterfall import (
    ORDER,
    WaterfallRules,
    check_rules,
    least_proceeds,
    sells_too_much,
    shares,
    value_usd,
    waterfall,
)
from tests.margin.test_dated_collateral import market, schedule

from .documents import EXAMPLES, example, example_terms
from .waterfalls import RULES, RULES_JSON

QUANTITIES = st.integers(0, 10**12) | st.integers(0, 20)
MEMBERS = st.dictionaries(st.sampled_from([f"member-{index}" for index in range(12)]), QUANTITIES, max_size=12)


@given(QUANTITIES, QUANTITIES, QUANTITIES, QUANTITIES, MEMBERS)
def test_a_loss_is_borne_in_order_to_the_last_unit(
    loss: int, margin: int, contribution: int, capital: int, mutual: dict[str, int]
) -> None:
    lines, uncovered = waterfall(
        loss, "defaulter", margin=margin, contribution=contribution, capital=capital, mutual=mutual
    )
    assert sum(line.drawn for line in lines) + uncovered == loss
    assert all(0 <= line.drawn <= line.available for line in lines)
    assert [line.layer for line in lines] == [*ORDER[:3], *["mutual"] * len(mutual)]
    assert [line.institution for line in lines] == ["defaulter", "defaulter", None, *sorted(mutual)]
    left = {layer: sum(line.available - line.drawn for line in lines if line.layer == layer) for layer in ORDER}
    drawn = {layer: sum(line.drawn for line in lines if line.layer == layer) for layer in ORDER}
    for above, below in pairwise(ORDER):
        assert not (left[above] and drawn[below])
    assert not (uncovered and any(left.values()))


@given(MEMBERS, st.data())
def test_shares_are_within_a_unit_of_the_proportion_and_of_no_order(
    mutual: dict[str, int], data: st.DataObject
) -> None:
    total = sum(mutual.values())
    amount = data.draw(st.integers(0, total))
    taken = shares(amount, mutual)
    assert sum(taken.values()) == amount
    for name, quantity in mutual.items():
        assert 0 <= taken[name] <= quantity
        assert total == 0 or abs(taken[name] - Fraction(amount * quantity, total)) < 1
    shuffled = data.draw(st.permutations(list(mutual.items())))
    assert shares(amount, dict(shuffled)) == taken
    # Who has as much bears as much, or one less if its name comes later.
    for name, quantity in mutual.items():
        for other in (other for other, same in mutual.items() if same == quantity and other > name):
            assert taken[name] - taken[other] in (0, 1)


def test_the_largest_remainder_goes_first_and_then_the_first_name() -> None:
    assert shares(7, {"c": 1, "b": 1, "a": 1, "d": 5}) == {"a": 1, "b": 1, "c": 1, "d": 4}
    assert shares(1, {"a": 1, "b": 2}) == {"a": 0, "b": 1}
    assert shares(2, {"c": 1, "b": 1, "a": 1}) == {"a": 1, "b": 1, "c": 0}
    assert shares(0, {}) == {}


@given(QUANTITIES, QUANTITIES, st.integers(1, 10**6), QUANTITIES)
def test_a_sale_ends_with_the_unit_that_reaches_what_is_wanted(
    before: int, sold: int, quantity: int, wanted: int
) -> None:
    without_the_last = before + sold - Fraction(sold, quantity)
    too_much = sells_too_much(Fraction(before), Fraction(sold), quantity, Fraction(wanted))
    assert too_much == (without_the_last >= wanted)


def test_a_value_is_spelt_as_documents_do_and_rounded_down() -> None:
    market, terms = Market.parse(example("market-4")), example_terms()
    spelt = {0: "0", 1: "0", 2: "0.000001", 10**6: "0.9981", 10**8: "99.81", 10**10: "9981"}
    assert {cash: value_usd(RULES, terms.schedule, market, cash) for cash in spelt} == spelt


@pytest.mark.parametrize(
    ("as_of", "least"),
    [
        # Hundredths of a dollar at 0.99, five hundredths less.
        ("2027-02-15T23:59:59Z", math.ceil(7 * 10_000 * Fraction("0.99") * Fraction("0.95"))),
        # Each pays 10,000 millionths; also when nobody counts on it any more.
        ("2027-02-16T00:00:00Z", 70_000),
        ("2027-03-16T00:00:00Z", 70_000),
    ],
)
def test_what_has_matured_is_sold_for_all_the_cash_that_is_due(as_of: str, least: int) -> None:
    """The operator has that cash; a discount of it would be the operator's."""
    rules = WaterfallRules.parse(RULES_JSON | {"discounts": {"BILL": "0.05"}})
    assert least_proceeds(rules, schedule(), market(as_of), "BILL", 7) == least


def test_rules_can_sell_all_of_a_schedule() -> None:
    """What cannot be sold would go back to the defaulter, while the operator bears what the cash does not reach."""
    whole = json.loads((EXAMPLES / "waterfall-rules.json").read_text())
    every = CollateralSchedule.parse(json.loads((EXAMPLES / "collateral-schedule.json").read_text()))
    check_rules(WaterfallRules.parse(whole), every)
    unlisted = {name: discount for name, discount in whole["discounts"].items() if name != "ETH"}
    for changes, match in (
        ({"discounts": unlisted}, "discounts: give one for ETH"),
        ({"discounts": {**whole["discounts"], "USDC": "0"}, "cash": "USD"}, "cash: the collateral schedule has no USD"),
        ({"stage_share": "0.01"}, "stage_share: all assets would take 500 stages"),
    ):
        with pytest.raises(MalformedDocument, match=match):
            check_rules(WaterfallRules.parse(whole | changes), every)
