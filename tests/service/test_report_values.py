"""What reports say that holdings are worth: the rules of margin, in a scenario in which nothing moves."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any, get_args

import pytest

from atomic_margin.margin.collateral import CollateralSchedule, SpotMoves, collateral_values
from atomic_margin.margin.collateral.schedule import Asset
from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.reports import cdm
from atomic_margin.service.reports.errors import PricesMissing
from atomic_margin.service.reports.parts import counted, market_value, valued_of
from atomic_margin.service.reports.prices import Prices, newest_until
from atomic_margin.service.reports.weekly import CATEGORIES

NOW = SpotMoves.full(("now",), ({},), Decimal(1))
PAYS = {"matures": "2027-02-16T00:00:00Z", "pays": "USD", "quantity": "1", "unpaid_days": "3"}
MILLION = 100_000_000
"""Of a dollar's hundredths."""


def asset(name: str, kind: str, haircut: str, priority: int, quote: str = "collateral", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "kind": kind,
        "decimals": "2",
        "haircut": haircut,
        "priority": str(priority),
        "price_source": {"quote": quote, "id": name},
        "risk_underlying": None,
        **more,
    }


SCHEDULE = CollateralSchedule.parse(
    {
        "format": "atomic-margin/collateral-schedule/3",
        "version": "1",
        "effective_from": "2026-01-01T00:00:00Z",
        "assets": [
            asset("USD", "cash", "0.005", 1, tiers=[
                {"above": "0", "up_to": "1500000", "percent": "100"}, {"above": "1500000", "percent": "50"},
            ]),
            asset("BILL", "treasury_bill", "0.01", 2, dated=PAYS | {"haircuts": [{"days": "30", "haircut": "0.002"}]}),
            asset("REPO", "repo", "0.02", 3, "accrual", dated=PAYS | {
                "accrual": {"begins": "2027-01-17T00:00:00Z", "price": "0.996", "rate": "0.048"},
            }),
            asset("COIN", "stablecoin", "0.1", 4, eligibility={
                "status": "excluded", "reason": "frozen by its issuer",
            }),
        ],
    }
)  # fmt: skip
PRICES = Prices(SCHEDULE, {})


def market(as_of: str, bill: str = "0.9965") -> Market:
    quotes = {"USD": "0.9999", "BILL": bill, "COIN": "1"}
    fixed = {"format": "atomic-margin/market/1", "sequence": "1", "rate": "0", "underlyings": {}}
    return Market.parse({**fixed, "as_of": as_of, "collateral": quotes})


@pytest.mark.parametrize(
    "at",
    [
        market("2027-01-16T00:00:00Z"),
        market("2027-01-17T00:00:00Z"),
        market("2027-01-27T12:00:00Z"),
        market("2027-01-27T12:00:00Z", bill="1.25"),
        market("2027-02-16T00:00:00Z"),
        market("2027-02-19T00:00:00Z"),
        market("2027-02-19T00:00:01Z"),
    ],
    ids=["31 days left", "30 days left", "ten days accrued", "above what it pays", "matured", "late", "lost"],
)
@pytest.mark.parametrize(
    "held",
    [
        {"USD": MILLION},
        {"BILL": MILLION},
        {"REPO": 3},
        {"USD": MILLION, "BILL": MILLION, "REPO": MILLION, "COIN": MILLION},
    ],
    ids=["cash", "bill", "repo", "all"],
)
def test_what_is_counted_is_what_margin_counts_where_nothing_moves(at: Market, held: dict[str, int]) -> None:
    exact = PRICES.counted(at, held)
    assert float(exact) == pytest.approx(collateral_values(SCHEDULE, NOW, at, held).maintenance[0], rel=1e-15)
    assert Decimal(counted(PRICES, at, held)) == Decimal(int(exact * 100)) / 100


@pytest.mark.parametrize(
    ("at", "price", "haircut"),
    [
        (market("2027-01-16T00:00:00Z"), "0.9965", "0.01"),
        (market("2027-01-17T00:00:00Z"), "0.9965", "0.002"),
        (market("2027-01-17T00:00:00Z", bill="1.25"), "1", "0.002"),
        (market("2027-02-16T00:00:00Z"), "0.9999", "0.005"),
    ],
)
def test_a_line_says_the_price_and_haircut_that_it_is_made_of(at: Market, price: str, haircut: str) -> None:
    (line,) = valued_of(PRICES, at, "posted", {"BILL": MILLION})
    assert (line["price_usd"], line["haircut"]) == (price, haircut)
    worth = Fraction(line["price_usd"]) * 1_000_000
    assert Fraction(line["market_usd"]) == worth
    assert Fraction(line["counted_usd"]) == int(worth * (1 - Fraction(line["haircut"])) * 100) / Fraction(100)


def test_what_does_not_count_has_a_price_and_is_worth_nothing_as_margin() -> None:
    at, held = market("2027-01-17T00:00:00Z"), {"COIN": MILLION}
    assert (market_value(PRICES, at, held), counted(PRICES, at, held)) == ("1000000.00", "0.00")


def test_an_asset_that_the_schedule_does_not_have_is_named() -> None:
    with pytest.raises(PricesMissing, match="no asset GOLD"):
        counted(PRICES, market("2027-01-17T00:00:00Z"), {"GOLD": 1})


def test_every_kind_of_asset_has_a_name_in_the_week_and_a_place_in_the_cdm() -> None:
    kinds = get_args(Asset.model_fields["kind"].annotation)
    assert set(CATEGORIES) == set(kinds)
    places = {kind: cdm._position("X", kind, "1")["asset"] for kind in kinds}
    assert [kind for kind, place in places.items() if "DigitalAsset" in place] == ["crypto", "stablecoin"]
    assert {next(iter(place.get("Instrument", {"": 0}))) for place in places.values()} == {"", "Loan", "Security"}


def test_the_newest_tick_of_a_day_is_found_among_void_ones() -> None:
    days = [date(2026, 11, 20) + timedelta(days=number) for number in range(4)]
    markets = [None, *(market(f"{day}T08:00:00Z") for day in days)]
    asked = 0
    for length in range(6):
        for chosen in product(range(5), repeat=length):
            if [one for one in chosen if one] != sorted(one for one in chosen if one):
                continue
            ticks = {number: PriceTick.model_construct(market=markets[one]) for number, one in enumerate(chosen, 1)}
            for place, day in enumerate(days, 1):
                right = [number for number, one in enumerate(chosen, 1) if 0 < one <= place]
                assert newest_until(day, length, ticks.__getitem__) == (max(right) if right else None)
                asked += 1
    assert asked > 1000


def test_few_ticks_are_looked_at() -> None:
    looked = set()

    def tick_of(number: int) -> PriceTick:
        looked.add(number)
        day = date(2026, 1, 1) + timedelta(days=number // 1440)
        return PriceTick.model_construct(market=market(f"{day}T08:00:00Z") if number % 3 else None)

    assert newest_until(date(2026, 1, 20), 100_000, tick_of) == 20 * 1440 - 1
    assert len(looked) < 40
