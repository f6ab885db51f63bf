"""The case from the trade about stale and clipped prices, and sets of our own: what counts is worked out by hand-made
rules on pairs of age and price, which use nothing of the package."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError, MalformedDocument
from atomic_margin.service.errors import TooFewSources
from atomic_margin.service.feed.combine import combine
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.ticks import NO_TICK, Place

from ..outside import outside

Json = dict[str, Any]
ARRIVED = datetime(2026, 11, 27, 10, 55, 0, tzinfo=timezone.utc)
HOUR = 3600
SOURCES = tuple(Identity.generate() for _ in range(5))


def read(name: str) -> Json:
    found: Json = json.loads((outside("desk") / "06-stale-and-clipped-prices" / name).read_text())
    return found


def market(price: str, age: int) -> Json:
    at = (ARRIVED - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "format": "atomic-margin/market/1", "sequence": "1", "as_of": at, "rate": "0.04", "collateral": {},
        "underlyings": {"BTC": {"spot": price, "perpetual": price, "expiries": {}}},
    }  # fmt: skip


def rules_of(count: int, required: int, **changes: str) -> PriceRules:
    bounds = {"price": "0.02", "volatility": "0.05", "rate": "0.01"}
    return PriceRules.parse(
        {
            "format": "atomic-margin/price-rules/1",
            "sources": [source.public_key for source in SOURCES[:count]],
            "required": str(required),
            "max_skew_seconds": "60",
            "max_age_seconds": "300",
            "outlier": bounds,
            "move": bounds,
            **changes,
        }
    )


def combined(rules: PriceRules, bodies: list[Json], arrived: datetime = ARRIVED) -> Decimal | None:
    """The spot of the tick, or None if there is no tick."""
    place = Place(1, rules.hash(), NO_TICK, NO_TICK)
    named = {"rules": rules.hash(), "previous": NO_TICK, "last_market": NO_TICK}
    by_key = {source.public_key: source for source in SOURCES}
    # Not every source has to have sent something.
    sent = zip(rules.sources, bodies, strict=False)
    prices = [by_key[key].sign("price", {**named, "market": body}) for key, body in sent]
    try:
        return combine(prices, rules, place, arrived).market.underlyings["BTC"].spot
    except TooFewSources:
        return None


def slow(quotes: list[tuple[str, int]], required: int, max_age: float, skew: int, bound: Decimal) -> Decimal | None:
    """The lower median of what is fresh and near it, or None where fewer than `required` are."""
    left = [(Decimal(price), -age) for price, age in quotes]
    while len(left) >= required:
        times = sorted(time for _, time in left)
        middle = times[(len(times) - 1) // 2]
        fresh = [one for one in left if -max_age <= one[1] <= skew or max_age == float("inf")]
        near = [one for one in fresh if abs(one[1] - middle) <= skew]
        if near == left:
            prices = sorted(price for price, _ in left)
            median = prices[(len(prices) - 1) // 2]
            near = [one for one in left if abs(one[0] - median) <= bound * median]
            if near == left:
                return median
        left = near
    return None


def test_rules_of_the_case_that_have_no_bound_on_age_are_refused() -> None:
    with pytest.raises(MalformedDocument, match=r"^max_age_seconds: ") as caught:
        PriceRules.parse(read("rules-default.json"))
    assert caught.value.field == "max_age_seconds"
    assert PriceRules.parse(read("rules-age.json")).max_age_seconds == 300


def test_the_case_is_refused_and_its_fresh_prices_make_a_tick() -> None:
    """Two of three stand still at 100,000 since two hours, one says 60,000 now; then prices of six days ago."""
    rules = rules_of(3, 2)
    assert combined(rules, [market("100000", 2 * HOUR), market("100000", 2 * HOUR), market("60000", 0)]) is None
    fresh = [read(f"m-{name}.json") for name in "abc"]
    assert combined(rules, fresh) == 100_000
    assert combined(rules, fresh, ARRIVED + timedelta(days=6)) is None
    # What went wrong: somebody has to ask for it now, in a word.
    played_back = rules_of(3, 2, max_age_seconds="unbounded")
    assert combined(played_back, fresh, ARRIVED + timedelta(days=6)) == 100_000


@pytest.mark.parametrize("max_age", ["300", "30", "7200", "unbounded"])
@pytest.mark.parametrize(
    ("quotes", "required"),
    [
        ([("100000", 2 * HOUR), ("100000", 2 * HOUR), ("60000", 0), ("60010", 1), ("59990", 2)], 3),
        ([("100000", 301), ("60000", 300), ("60100", 299)], 2),
        ([("98100", 0), ("100000", 0), ("101900", 0)], 2),
        ([("98100", 0), ("100000", 0), ("102001", 0)], 2),
        ([("81000", 6 * 24 * HOUR)], 1),
        ([("81000", 31), ("82000", 29), ("81500", 61), ("40000", 0)], 3),
        ([("81000", -60), ("82000", -61), ("81500", 0)], 2),
    ],
)
def test_our_own_sets_of_prices(quotes: list[tuple[str, int]], required: int, max_age: str) -> None:
    age = float("inf") if max_age == "unbounded" else float(max_age)
    rules = rules_of(len(quotes), required, max_age_seconds=max_age)
    assert combined(rules, [market(*quote) for quote in quotes]) == slow(quotes, required, age, 60, Decimal("0.02"))


@pytest.mark.parametrize("age", ["0", "86401", "", "never", "Unbounded", "-1", None])
def test_what_is_no_bound_on_age_is_refused_by_field(age: Any) -> None:
    with pytest.raises(DocumentError) as caught:
        rules_of(1, 1, max_age_seconds=age)
    assert caught.value.field == "max_age_seconds"
