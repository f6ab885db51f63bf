"""Bills that mature and repo legs that are due: values computed by hand, to the cent and to the second."""

import copy
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError
from atomic_margin.margin.collateral import (
    CollateralSchedule,
    SpotMoves,
    check_accepted,
    check_substitution,
    collateral_values,
    market_worth,
    select_return,
    select_transfer,
)
from atomic_margin.margin.errors import IneligibleAsset
from atomic_margin.margin.market.market import Market

MOVES = SpotMoves.full(("now",), ({},), Decimal(1))
Json = dict[str, Any]


def asset(name: str, priority: int, haircut: str, decimals: int, **more: Any) -> Json:
    return {
        "id": name,
        "kind": "cash",
        "decimals": str(decimals),
        "haircut": haircut,
        "price_source": {"quote": "collateral", "id": name},
        "risk_underlying": None,
        "priority": str(priority),
        **more,
    }


BILL = {
    "matures": "2027-02-16T00:00:00Z",
    "pays": "USDC",
    "quantity": "10000",
    "unpaid_days": "3",
    "haircuts": [{"days": "30", "haircut": "0.002"}, {"days": "90", "haircut": "0.005"}],
}
REPO = {
    "matures": "2027-01-04T00:00:00Z",
    "pays": "USDC",
    "quantity": "1004000",
    "unpaid_days": "0",
    "accrual": {"begins": "2026-12-05T00:00:00Z", "price": "1", "rate": "0.048"},
}
SCHEDULE: Json = {
    "format": "atomic-margin/collateral-schedule/3",
    "version": "1",
    "effective_from": "2026-01-01T00:00:00Z",
    "assets": [
        asset("USDC", 3, "0.02", 6),
        asset("BILL", 1, "0.01", 2, kind="treasury_bill", dated=BILL),
        asset("REPO", 2, "0.03", 0, kind="repo", dated=REPO, price_source={"quote": "accrual", "id": "REPO"}),
    ],
}


def schedule(**changes: Any) -> CollateralSchedule:
    return CollateralSchedule.parse({**copy.deepcopy(SCHEDULE), **changes})


def market(as_of: str, bill: str = "0.99") -> Market:
    return Market.parse(
        {
            "format": "atomic-margin/market/1",
            "sequence": "1",
            "as_of": as_of,
            "rate": "0",
            "underlyings": {},
            "collateral": {"USDC": "1", "BILL": bill},
        }
    )


def worth(as_of: str, bill: str = "0.99", **held: int) -> float:
    return float(collateral_values(schedule(), MOVES, market(as_of, bill), held).maintenance[0])


@pytest.mark.parametrize(
    ("as_of", "haircut"),
    [
        ("2026-11-17T23:59:59Z", "0.01"),  # 91 days have begun: longer than the table
        ("2026-11-18T00:00:00Z", "0.005"),  # 90
        ("2027-01-16T23:59:59Z", "0.005"),  # 31
        ("2027-01-17T00:00:00Z", "0.002"),  # 30
        ("2027-02-15T23:59:59Z", "0.002"),
    ],
)
def test_a_bill_has_the_haircut_of_its_tenor(as_of: str, haircut: str) -> None:
    # 1,000,000.00 of face, quoted at 0.99.
    assert worth(as_of, BILL=10**8) == float((1 - Fraction(haircut)) * 990_000)


def test_at_its_maturity_it_is_the_cash_that_is_due() -> None:
    # A hundredth of a dollar pays 10,000 millionths, and cash has a haircut of 2 %.
    assert worth("2027-02-16T00:00:00Z", BILL=10**8) == 980_000.0
    assert worth("2027-02-16T00:00:00Z", "0.5", BILL=10**8) == 980_000.0
    assert worth("2027-02-16T00:00:00Z", BILL=10**8) == worth("2027-02-16T00:00:00Z", USDC=10**12)
    # Three days later to the second it still is; then nobody counts on it any more.
    assert worth("2027-02-19T00:00:00Z", BILL=10**8) == 980_000.0
    assert worth("2027-02-19T00:00:01Z", BILL=10**8) == 0.0


def test_what_matured_shares_the_tiers_of_other_cash() -> None:
    tiers = [{"above": "0", "up_to": "1000000", "percent": "100"}, {"above": "1000000", "percent": "50"}]
    assets = copy.deepcopy(SCHEDULE["assets"])
    assets[0]["tiers"] = tiers
    tiered = schedule(assets=assets)
    together = collateral_values(tiered, MOVES, market("2027-02-16T00:00:00Z"), {"USDC": 10**12, "BILL": 10**8})
    assert float(together.maintenance[0]) == 0.98 * 1_500_000


@pytest.mark.parametrize(
    ("as_of", "price"),
    [
        ("2026-12-05T00:00:00Z", Fraction(1)),
        ("2026-12-05T23:59:59Z", Fraction(1)),  # a day that has not ended has accrued nothing
        ("2026-12-06T00:00:00Z", 1 + Fraction(48, 360_000)),
        ("2026-12-20T12:00:00Z", 1 + Fraction(48 * 15, 360_000)),
        ("2027-01-03T23:59:59Z", 1 + Fraction(48 * 29, 360_000)),
    ],
)
def test_a_repo_leg_accrues_simple_interest_by_actual_over_360(as_of: str, price: Fraction) -> None:
    wanted = Fraction(97, 100) * 1_000_000 * price
    found = worth(as_of, REPO=10**6)
    assert abs(Fraction(found) - wanted) < Fraction(1, 10**6)
    assert Fraction(found) <= wanted


def test_its_far_side_pays_thirty_days_of_interest() -> None:
    # 30 days at 4.8 % on 360: 1.004 for 1; then it is USDC with its haircut.
    assert worth("2027-01-04T00:00:00Z", REPO=10**6) == 0.98 * 1_004_000
    assert worth("2027-01-04T00:00:01Z", REPO=10**6) == 0.0
    assert market_worth(schedule(), MOVES, market("2027-01-04T00:00:00Z"), "REPO", 10**6) == 1_004_000
    assert market_worth(schedule(), MOVES, market("2026-12-06T00:00:00Z"), "REPO", 10**6) == 1_000_133


def test_a_call_takes_nothing_that_has_matured_and_counts_it_where_it_is_posted() -> None:
    free, late = {"BILL": 10**8, "USDC": 10**12}, market("2027-02-16T00:00:00Z")
    early = select_transfer(Decimal(98_000), free, schedule(), MOVES, market("2027-02-15T00:00:00Z"), posted={})
    # One cent more than is called, at 0.99 with a haircut of 0.2 %: 98,000.01 / 0.98802 dollars of face.
    assert dict(early) == {"BILL": 9_918_829}
    assert set(select_transfer(Decimal(98_000), free, schedule(), MOVES, late, posted={"BILL": 10**8})) == {"USDC"}
    assert dict(select_return(Decimal(98_000), {"BILL": 10**8}, schedule(), MOVES, late)) == {}


LONG = {"days": "90", "haircut": "0.005"}
WRONG: dict[str, tuple[int, Json, str]] = {
    "in an older format": (-1, {"format": "atomic-margin/collateral-schedule/2"}, r"assets\[1\]\.dated"),
    "paid in itself": (1, {"pays": "BILL"}, r"dated\.pays"),
    "paid in what ends": (1, {"pays": "REPO"}, r"dated\.pays"),
    "paid in nothing": (1, {"quantity": "0"}, r"dated\.quantity|quantity"),
    "longer and safer": (1, {"haircuts": [LONG, {**LONG, "days": "91", "haircut": "0.002"}]}, "haircut"),
    "tenors out of order": (1, {"haircuts": [LONG, {**LONG, "days": "30"}]}, "days"),
    "the longest is the safest": (1, {"haircuts": [{"days": "30", "haircut": "0.011"}]}, r"assets\[1\]\.haircut"),
    "ends before it begins": (2, {"accrual": {"begins": "2027-01-04T00:00:00Z", "price": "1", "rate": "0"}}, "begins"),
    "accrues and is quoted": (1, {"accrual": REPO["accrual"]}, "quote"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_end_that_makes_no_sense_is_named(name: str) -> None:
    index, changes, field = WRONG[name]
    document = copy.deepcopy(SCHEDULE)
    if index < 0:
        document |= changes
    else:
        document["assets"][index]["dated"] |= changes
    with pytest.raises(DocumentError, match=field):
        CollateralSchedule.parse(document)


def test_a_schedule_without_ends_is_hashed_as_before() -> None:
    document = {**copy.deepcopy(SCHEDULE), "format": "atomic-margin/collateral-schedule/2"}
    document["assets"] = document["assets"][:1]
    parsed = CollateralSchedule.parse(document)
    assert "dated" not in str(parsed.canonical())
    assert parsed.due(market("2030-01-01T00:00:00Z").as_of, holdings := {"USDC": 5}) is holdings


def test_no_quote_makes_it_worth_more_than_it_pays() -> None:
    assert worth("2027-02-15T00:00:00Z", "1.5", BILL=10**8) == float(Fraction(998, 1000) * 1_000_000)
    wrong = copy.deepcopy(SCHEDULE)
    wrong["assets"][2]["dated"]["accrual"]["rate"] = "0.05"
    with pytest.raises(DocumentError, match=r"accrual\.rate"):
        CollateralSchedule.parse(wrong)


def test_a_leg_is_worth_nothing_before_its_near_date() -> None:
    assert worth("2026-12-04T23:59:59Z", REPO=10**6) == 0.0


@pytest.mark.parametrize(
    "eligibility",
    [
        {"status": "excluded", "reason": "not any more"},
        {"status": "accepted", "counts_until": "2027-02-01T00:00:00Z"},
        {"status": "accepted", "counts_from": "2027-03-01T00:00:00Z"},
    ],
    ids=["excluded", "past", "not yet"],
)
def test_what_does_not_count_does_not_come_back_by_its_end(eligibility: Json) -> None:
    assets = copy.deepcopy(SCHEDULE["assets"])
    assets[1]["eligibility"] = eligibility
    held = schedule(assets=assets)
    for as_of in ("2027-02-15T00:00:00Z", "2027-02-16T00:00:00Z"):
        assert float(collateral_values(held, MOVES, market(as_of), {"BILL": 10**8}).maintenance[0]) == 0.0


def test_what_is_due_is_given_for_nothing_that_is_there() -> None:
    """The bill is worth as much as the cash for three days, and then nothing if it is not paid."""
    late = market("2027-02-16T00:00:00Z")
    with pytest.raises(IneligibleAsset, match="it has matured"):
        check_substitution({"USDC": 10**12}, {"BILL": 10**8}, schedule(), MOVES, late, posted={"USDC": 10**12})
    check_accepted(schedule(), "BILL", market("2027-02-15T23:59:59Z").as_of)
    with pytest.raises(IneligibleAsset, match="bring the cash that it pays"):
        check_accepted(schedule(), "BILL", late.as_of)


def test_a_repo_leg_without_an_end_is_none() -> None:
    wrong = copy.deepcopy(SCHEDULE)
    del wrong["assets"][2]["dated"]
    wrong["assets"][2]["price_source"] = {"quote": "collateral", "id": "REPO"}
    with pytest.raises(DocumentError, match="a repo leg has an end"):
        CollateralSchedule.parse(wrong)
