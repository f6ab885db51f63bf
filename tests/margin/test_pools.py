"""Pools of one owner: concentration tiers look at the whole holding, and each pool is worth its share of it."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.errors import NegativeHolding
from atomic_margin.margin import (
    CollateralSchedule,
    Market,
    Portfolio,
    Published,
    Universe,
    collateral_values,
    parse_model,
)
from atomic_margin.margin.collateral import SpotMoves, pool_collateral_values
from atomic_margin.margin.collateral.values import unrounded_values
from atomic_margin.margin.errors import UnknownAsset
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.cross_margin.rows import cut_collateral
from atomic_margin.margin.models.cross_margin.values import pool_values

from .slow import unit_value
from .test_desk import UNIVERSE, book, case, line, market

Json = dict[str, Any]
Held = dict[str, dict[str, int]]


def tiers(*bands: tuple[int, int | None, int]) -> list[Json]:
    return [
        {"above": str(low), "percent": str(percent)} | ({} if high is None else {"up_to": str(high)})
        for low, high, percent in bands
    ]


ASSETS: list[Json] = [
    {"id": "USDC", "kind": "stablecoin", "decimals": "0", "haircut": "0.01", "priority": "1",
     "price_source": {"quote": "collateral", "id": "USDC"},
     "tiers": tiers((0, 700_000, 100), (700_000, 2_000_000, 80), (2_000_000, 3_000_000, 33))},
    {"id": "BTC", "kind": "crypto", "decimals": "4", "haircut": "0.1", "priority": "2", "risk_underlying": "BTC",
     "price_source": {"quote": "spot", "id": "BTC"},
     "tiers": tiers((0, 5_000_000, 100), (5_000_000, 20_000_000, 80), (20_000_000, None, 50))},
    {"id": "FUND", "kind": "money_market_fund", "decimals": "2", "haircut": "0", "priority": "3",
     "price_source": {"quote": "collateral", "id": "FUND"}},
]  # fmt: skip
SCHEDULE: Json = {
    "format": "atomic-margin/collateral-schedule/2",
    "version": "1",
    "effective_from": "2026-01-01T00:00:00Z",
    "assets": ASSETS,
}
PRICES = market(collateral={"USDC": "0.9998", "FUND": "101.25"})
MOVES = SpotMoves(
    ("still", "down", "half", "up"),
    tuple({"BTC": Decimal(move), "SHIB": Decimal(0)} for move in ("0", "-0.3", "-0.5", "0.4")),
    (Decimal(1), Decimal(1), Decimal("0.5"), Decimal("0.35")),
    Decimal("1.3"),
)
MOST = {"USDC": 4_000_000, "BTC": 600 * 10**4, "FUND": 10**6}


def worth(pools: Held) -> dict[str, dict[str, list[Fraction]]]:
    """The float of every pool, kind and row, exactly."""
    found = pool_collateral_values(CollateralSchedule.parse(SCHEDULE), MOVES, Market.parse(PRICES), pools)
    return {
        pool: {kind: [Fraction(value) for value in values.of(kind).tolist()] for kind in KINDS}
        for pool, values in found.items()
    }


pools_of = st.dictionaries(
    st.sampled_from(["a", "b", "c", "central"]),
    st.fixed_dictionaries({}, optional={name: st.integers(0, most) for name, most in MOST.items()}),
    min_size=1,
)


@given(pools_of)
def test_pools_come_to_what_one_pool_is_worth(pools: Held) -> None:
    whole: dict[str, int] = {}
    for held in pools.values():
        for name, quantity in held.items():
            whole[name] = whole.get(name, 0) + quantity
    split, schedule, prices = worth(pools), CollateralSchedule.parse(SCHEDULE), Market.parse(PRICES)
    for kind in KINDS:
        for row, credit in enumerate(unrounded_values(schedule, MOVES, prices, whole, kind)):
            total = sum(values[kind][row] for values in split.values())
            # Every pool is rounded down once: together they lack the last bits, and never have more.
            assert credit - Fraction(1, 2**20) < total <= credit


@given(pools_of, st.data())
def test_splitting_never_gains(pools: Held, data: st.DataObject) -> None:
    pool = data.draw(st.sampled_from(sorted(pools)))
    part = {name: data.draw(st.integers(0, quantity)) for name, quantity in pools[pool].items()}
    rest = {name: quantity - part[name] for name, quantity in pools[pool].items()}
    before, after = worth(pools), worth(pools | {pool: rest, "new": part})
    for kind in KINDS:
        for row in range(len(MOVES)):
            together = after[pool][kind][row] + after["new"][kind][row]
            assert together <= before[pool][kind][row] + Fraction(1, 2**20)
            # The other pools do not notice.
            for name in pools.keys() - {pool}:
                assert after[name][kind][row] == before[name][kind][row]


@given(pools_of, st.sampled_from(sorted(MOST)), st.integers(0, 10**6), st.data())
def test_more_in_a_pool_is_worth_more_there_and_never_more_elsewhere(
    pools: Held, asset: str, more: int, data: st.DataObject
) -> None:
    pool = data.draw(st.sampled_from(sorted(pools)))
    posted = pools | {pool: pools[pool] | {asset: pools[pool].get(asset, 0) + more}}
    before, after = worth(pools), worth(posted)
    for kind in KINDS:
        for row in range(len(MOVES)):
            assert after[pool][kind][row] >= before[pool][kind][row]
            whole = [sum(values[kind][row] for values in found.values()) for found in (before, after)]
            assert whole[1] >= whole[0] - Fraction(1, 2**20)
            for name in pools.keys() - {pool}:
                assert after[name][kind][row] <= before[name][kind][row]


@given(st.fixed_dictionaries({name: st.integers(0, most) for name, most in MOST.items()}))
def test_a_single_pool_is_what_holdings_are_worth_to_the_bit(held: dict[str, int]) -> None:
    documents = CollateralSchedule.parse(SCHEDULE), MOVES, Market.parse(PRICES)
    (one,) = pool_collateral_values(*documents, {"one": held}).values()
    same = collateral_values(*documents, held)
    two = pool_collateral_values(*documents, {"one": held, "none": {}, "zero": dict.fromkeys(held, 0)})
    for kind in KINDS:
        assert one.of(kind).tobytes() == same.of(kind).tobytes() == two["one"].of(kind).tobytes()
        assert not two["none"].of(kind).any()
        assert not two["zero"].of(kind).any()


def test_wrong_holdings_are_refused_in_every_pool() -> None:
    with pytest.raises(UnknownAsset):
        worth({"a": {"USDC": 1}, "b": {"DOGE": 1}})
    with pytest.raises(NegativeHolding):
        worth({"a": {"USDC": 5}, "b": {"USDC": -1}})


# --- the case from the trade, and our own


@pytest.mark.parametrize("name", ["16a-one-pool", "16b-split-over-pools"])
def test_300_btc_are_worth_the_same_in_one_pool_and_in_four(name: str) -> None:
    found = case(name, {})
    rules: Any = found.model
    reference = found.reference()
    assert reference.details["collateral"] == pytest.approx(19_800_000, abs=0.01)
    assert reference.excess == pytest.approx(case("16a-one-pool", {}).reference().excess, abs=0.01)
    pools = pool_values(rules.document, found.published.schedule, found.published.market, found.posted)["maintenance"]
    for row, value in ((0, 19_800_000), (1, 0.9 * (5_000_000 + 0.8 * 15_000_000 + 0.5 * 4_000_000))):
        assert pools.venues[row].sum() + pools.central[row] == pytest.approx(value, abs=0.01)


VENUES: list[Json] = [
    {"id": "a", "instruments": ["BTC-PERP", "BTC-DEC"], "transfer_limit": "4000000", "transfer_haircut": "0.1"},
    {"id": "b", "instruments": [item["id"] for item in UNIVERSE["instruments"][2:]], "transfer_haircut": "0.02"},
]
SCENARIOS: list[Json] = [
    {"label": f"{spot} {volatility}", "source": "grid", "coverage": coverage, "spot": {"BTC": spot, "SHIB": spot},
     "volatility": {"BTC": volatility, "SHIB": "0"}, "basis": {"BTC": basis, "SHIB": "0"}}
    for spot, volatility, basis, coverage in (
        ("0", "0", "0", "1"), ("-0.2", "0.4", "0", "1"), ("0.2", "-0.2", "0.01", "1"), ("-0.6", "1", "0", "0.35"))
]  # fmt: skip
MODEL: Json = {
    "format": "atomic-margin/model/1",
    "name": "cross_margin",
    "initial_factor": "1.3",
    "minimum_transfer_amount": "1000",
    "charges": {"perpetual": "0.004", "future": "0.003", "option_long": "0.001", "option_short_minimum": "0.01"},
    "venues": VENUES,
    "offsets": [{"id": "both", "venues": ["a", "b"], "credit": "0.7"}],
    "scenarios": SCENARIOS,
}


def slow_credit(asset: Json, value: Decimal) -> Decimal:
    """A tax table, band by band, and the haircut."""
    counted = Decimal(0)
    for band in asset.get("tiers", tiers((0, None, 100))):
        top = min(value, Decimal(band.get("up_to", "Infinity")))
        counted += max(Decimal(0), top - Decimal(band["above"])) * Decimal(band["percent"]) / 100
    return counted * (1 - Decimal(asset["haircut"]))


def slow_pool(pool: str, pools: Held, scenario: Json, factor: Decimal) -> Decimal:
    total = Decimal(0)
    for asset in ASSETS:
        whole = sum(held.get(asset["id"], 0) for held in pools.values())
        mine = pools.get(pool, {}).get(asset["id"], 0)
        source = asset["price_source"]
        spot = source["quote"] == "spot"
        price = Decimal(PRICES["underlyings"][source["id"]]["spot"] if spot else PRICES["collateral"][source["id"]])
        move = factor * Decimal(scenario["coverage"]) * Decimal(scenario["spot"]["BTC"]) if spot else Decimal(0)
        value = Decimal(whole) / 10 ** int(asset["decimals"]) * price * max(Decimal(0), 1 + move)
        if mine:
            total += slow_credit(asset, value) * mine / whole
    return total


def slow_left(pools: Held, held: Json, kind: str) -> Decimal:
    """The least over scenarios of M + Σ min(S_v, (1 - h) S_v, (1 - h) L_v)."""
    items = {item["id"]: item for item in UNIVERSE["instruments"]}
    factor = Decimal(1) if kind == "maintenance" else Decimal(MODEL["initial_factor"])
    left = []
    for scenario in SCENARIOS:
        total = slow_pool("central", pools, scenario, factor) + Decimal(held["cash"])
        for venue in VENUES:
            profit = Decimal(0)
            for one in held["lines"]:
                item = items[one["instrument"]]
                if item["id"] not in venue["instruments"]:
                    continue
                quotes = PRICES["underlyings"][item["underlying"]]
                name = item["underlying"]
                moves = (Decimal(scenario[move][name]) for move in ("spot", "volatility", "basis"))
                now, side = unit_value(item, PRICES), 1 if one["side"] == "long" else -1
                made = factor * Decimal(scenario["coverage"]) * (unit_value(item, PRICES, *moves) - now) + now
                made -= Decimal(item["reference_price"])
                kept = Decimal(item["reference_price"]) - Decimal(one["price"])
                if item["kind"] == "perpetual":
                    reference = Decimal(item.get("reference_funding_index", "0"))
                    made -= Decimal(quotes.get("funding_index", "0")) - reference
                    kept += Decimal(one["funding_index"]) - reference
                option = "option_long" if one["side"] == "long" else "option_short_minimum"
                charge = Decimal(MODEL["charges"][option if item["kind"] == "option" else item["kind"]])
                quantity = int(one["lots"]) * Decimal(item["lot"])
                profit += quantity * (side * made - factor * charge * Decimal(quotes["spot"]))
                # What a line was traded at is cash of the account, and cash is the central pool's.
                total += side * quantity * kept
            spare = slow_pool(venue["id"], pools, scenario, factor) + min(profit, Decimal("0.7") * profit)
            share = 1 - Decimal(venue["transfer_haircut"])
            total += min(spare, share * spare, share * Decimal(venue.get("transfer_limit", "Infinity")))
        left.append(total)
    return min(left)


SHORT = line("BTC-100000-C", "short", 60, "4000")
LONG = line("BTC-PERP", "long", 300, "99000", "20")


@pytest.mark.parametrize(
    ("pools", "held"),
    [
        ({"a": {"BTC": 300 * 10**4}}, book(LONG, SHORT)),
        ({name: {"BTC": 75 * 10**4} for name in ("a", "b", "central")}, book(LONG, SHORT)),
        ({"a": {"USDC": 1_500_000}, "b": {"USDC": 1_400_000, "BTC": 10**4}},
         book(line("SHIB-PERP", "short", 3, "0.00001", "0"))),
        ({"b": {"BTC": 400 * 10**4, "FUND": 50_000}, "central": {"BTC": 1, "USDC": 2_600_000}},
         book(SHORT, cash="-77.5")),
        ({"a": {"USDC": 3_500_000, "FUND": 1}, "b": {"USDC": 500_000}, "central": {"USDC": 7}},
         book(line("BTC-DEC", "short", 200, "101500"), line("BTC-90000-P", "long", 100, "1800"), LONG)),
    ],
)  # fmt: skip
def test_our_own_accounts_with_pools(pools: Held, held: Json) -> None:
    rules: Any = parse_model(MODEL)
    published = Published(Universe.parse(UNIVERSE), Market.parse(PRICES), CollateralSchedule.parse(SCHEDULE))
    portfolio = Portfolio.parse(held)
    reference = rules.reference(published, portfolio, pools)
    documents = rules.document, published.schedule, published.market, pools
    columns = rules.columns(published, 1 << 28, 24)
    z = rules.encode(published, portfolio, columns)
    for kind in KINDS:
        expected = float(slow_left(pools, held, kind))
        assert reference.excess[kind] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        # Rows of both forms count the same pools.
        rows = rules.rows(published.universe, published.market).spread(columns).slack_free()
        conservative = rows.of(kind) @ z + cut_collateral(*documents, form="complete").of(kind)
        # Encoding rounds cash down to a lot of 64 USD.
        assert expected - 64 <= float(conservative.min()) <= expected + 1e-6
        exact = rules.collateral(published.schedule, published.market, pools, "exact").of(kind)
        whole = pool_values(*documents)[kind]
        assert exact[: len(SCENARIOS)] == pytest.approx(whole.central + whole.venues.sum(axis=1))
    assert np.isfinite(reference.mark_to_market)
