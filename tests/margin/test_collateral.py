"""Collateral values in every scenario, and the choice of what to move for a call."""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    EntryMap,
    Market,
    ScanModel,
    Universe,
    check_schedule,
    check_transfer,
    collateral_values,
    compile_run,
    compile_weights,
    errors,
    select_transfer,
)
from atomic_margin.margin.collateral.values import unrounded_values

Example = Callable[[str], dict[str, Any]]
ASSETS = ("USDC", "TBILL-2027-02", "GOVT-MMF", "BTC", "ETH")
# As in examples/collateral-schedule.json.
TIERS = {
    "USDC": [(0, 25_000_000, 100), (25_000_000, 10**40, 90)],
    "BTC": [(0, 5_000_000, 100), (5_000_000, 20_000_000, 80), (20_000_000, 50_000_000, 50)],
    "ETH": [(0, 3_000_000, 100), (3_000_000, 10_000_000, 75), (10_000_000, 25_000_000, 40)],
}
quantities = st.fixed_dictionaries({}, optional={name: st.integers(0, 10**12) for name in ASSETS})


def worth(
    schedule: CollateralSchedule, model: ScanModel, market: Market, quantity: Mapping[str, int], row: int, initial: bool
) -> Fraction:
    """Written out once more, independently."""
    total, scenario = Fraction(0), model.scenarios[row]
    for name, units in quantity.items():
        asset = schedule.by_id[name]
        quoted = market.underlyings[name].spot if name in ("BTC", "ETH") else market.collateral[name]
        move = Fraction(scenario.spot[name]) * Fraction(scenario.coverage) if name in ("BTC", "ETH") else Fraction(0)
        shocked = max(Fraction(0), 1 + move * (Fraction(model.initial_factor) if initial else 1))
        value = Fraction(units, 10**asset.decimals) * Fraction(quoted) * shocked
        bands = TIERS.get(name, [(0, 10**40, 100)])
        credit = sum(Fraction(percent, 100) * max(0, min(value, high) - low) for low, high, percent in bands)
        total += credit * (1 - Fraction(asset.haircut))
    return total


def test_a_bitcoin_and_a_treasury_bill_by_hand(
    schedule: CollateralSchedule, model: ScanModel, markets: tuple[Market, ...]
) -> None:
    values = collateral_values(schedule, model.spot_moves, markets[0], {"BTC": 2 * 10**8, "TBILL-2027-02": 100_00})
    row = model.labels.index("crash -20% vol up")
    bill = 100 * 0.99163 * 0.99
    assert values.maintenance[row] == pytest.approx(2 * 96420.5 * 0.9 * 0.8 + bill)
    assert values.initial[row] == pytest.approx(2 * 96420.5 * 0.9 * 0.74 + bill)
    row = model.labels.index("extreme +30% vol up")
    assert values.maintenance[row] == pytest.approx(2 * 96420.5 * 0.9 * 1.105 + bill)


def test_a_value_never_falls_below_zero(
    schedule: CollateralSchedule, markets: tuple[Market, ...], example: Example
) -> None:
    given = example("model-scan")
    given["scenarios"][0]["spot"] = {"BTC": "-0.9", "ETH": "-0.9"}
    values = collateral_values(schedule, ScanModel.parse(given).spot_moves, markets[0], {"BTC": 10**8})
    assert values.maintenance[0] > 0
    assert values.initial[0] == 0


@given(held=quantities, tick=st.integers(0, 3), row=st.integers(0, 23))
def test_values_are_the_exact_ones_rounded_down_once(
    held: dict[str, int],
    tick: int,
    row: int,
    schedule: CollateralSchedule,
    model: ScanModel,
    markets: tuple[Market, ...],
) -> None:
    values = collateral_values(schedule, model.spot_moves, markets[tick], held)
    for kind, value in (("maintenance", values.maintenance[row]), ("initial", values.initial[row])):
        exact = worth(schedule, model, markets[tick], held, row, kind == "initial")
        assert Fraction(float(value)) <= exact < Fraction(math.nextafter(value, math.inf))


@settings(deadline=None, max_examples=40)
@given(free=quantities, posted=quantities, cents=st.integers(1, 10**9), tick=st.integers(0, 3))
def test_a_transfer_is_worth_the_call_in_every_row(
    free: dict[str, int],
    posted: dict[str, int],
    cents: int,
    tick: int,
    schedule: CollateralSchedule,
    model: ScanModel,
    markets: tuple[Market, ...],
) -> None:
    amount, market = Decimal(cents) / 100, markets[tick]

    def least_gain(moved: Mapping[str, int]) -> Fraction:
        after = {name: posted.get(name, 0) + moved.get(name, 0) for name in {*posted, *moved}}
        return min(
            worth(schedule, model, market, after, row, initial) - worth(schedule, model, market, posted, row, initial)
            for row in range(24)
            for initial in (False, True)
        )

    try:
        moved = select_transfer(amount, free, schedule, model.spot_moves, market, posted=posted)
    except errors.InsufficientFreeCollateral:
        assert least_gain(free) < Fraction(amount) + Fraction(1, 100)
        return
    assert all(0 < quantity <= free[name] for name, quantity in moved.items())
    assert least_gain(moved) >= Fraction(amount)
    check_transfer(amount, moved, schedule, model.spot_moves, market, posted=posted)
    with pytest.raises(errors.TransferTooSmall, match="the call is of"):
        check_transfer(amount + Decimal("0.02") + amount, moved, schedule, model.spot_moves, market, posted=posted)
    # As computed in floating point, c grows by at least the amount as well.
    both = {name: posted.get(name, 0) + moved.get(name, 0) for name in {*posted, *moved}}
    before, after = (collateral_values(schedule, model.spot_moves, market, held) for held in (posted, both))
    for kind in ("maintenance", "initial"):
        assert (after.of(kind) - before.of(kind) >= float(amount)).all()
    # Had less been posted before, the same would have been worth more: tiers are concave.
    check_transfer(amount, moved, schedule, model.spot_moves, market, posted={})
    # One unit less of the last asset moved is not worth it (with the cent on top).
    last = max(moved, key=lambda name: schedule.by_id[name].priority)
    assert least_gain({**moved, last: moved[last] - 1}) < Fraction(amount) + Fraction(1, 100)


def test_assets_move_by_priority(
    schedule: CollateralSchedule, model: ScanModel, markets: tuple[Market, ...], holdings: CollateralHoldings
) -> None:
    moved = select_transfer(Decimal(1000), holdings.free, schedule, model.spot_moves, markets[0], posted={})
    assert list(moved) == ["TBILL-2027-02"]
    assert moved["TBILL-2027-02"] == 101_864  # 1000.01 / (0.99163 * 0.99) = 1018.637…, rounded up to the cent
    with pytest.raises(TypeError):
        moved["USDC"] = 1  # type: ignore[index]  # what the test is about


def test_an_asset_worth_nothing_in_one_row_is_moved_only_for_the_others(
    schedule: CollateralSchedule, markets: tuple[Market, ...], example: Example
) -> None:
    given = example("model-scan")
    given["scenarios"][0]["spot"]["BTC"] = "-0.9"
    model = ScanModel.parse(given)
    with pytest.raises(errors.InsufficientFreeCollateral, match="100"):
        select_transfer(Decimal(100), {"BTC": 10**9}, schedule, model.spot_moves, markets[0], posted={})
    moved = select_transfer(
        Decimal(100), {"BTC": 10**9, "ETH": 10**9}, schedule, model.spot_moves, markets[0], posted={}
    )
    assert 0 < moved["BTC"] < 10**7
    assert 0 < moved["ETH"] < 10**8


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "sNaN"])
def test_a_call_is_a_positive_amount(
    amount: str, schedule: CollateralSchedule, model: ScanModel, markets: tuple[Market, ...]
) -> None:
    with pytest.raises(errors.BadAmount):
        select_transfer(Decimal(amount), {}, schedule, model.spot_moves, markets[0], posted={})


@pytest.mark.parametrize(
    ("held", "error", "field"),
    [
        ({"DOGE": 1}, errors.UnknownAsset, "DOGE"),
        ({"BTC": -1}, document_errors.NegativeHolding, "BTC"),
        ({"BTC": 1.0}, document_errors.OutOfRange, "BTC"),
        ({"BTC": True}, document_errors.OutOfRange, "BTC"),
        ({"BTC": 10**24 + 1}, document_errors.OutOfRange, "BTC"),
    ],
)
def test_only_ledger_quantities_of_eligible_assets_count(
    held: Any,
    error: type[document_errors.DocumentError],
    field: str,
    schedule: CollateralSchedule,
    model: ScanModel,
    markets: tuple[Market, ...],
) -> None:
    for call in (
        lambda: collateral_values(schedule, model.spot_moves, markets[0], held),
        lambda: select_transfer(Decimal(1), held, schedule, model.spot_moves, markets[0], posted={}),
    ):
        with pytest.raises(document_errors.DocumentError) as caught:
            call()
        assert type(caught.value) is error
        assert caught.value.field == field


def test_every_asset_is_priced_and_moved(
    schedule: CollateralSchedule, model: ScanModel, markets: tuple[Market, ...], example: Example
) -> None:
    market = example("market-1")
    del market["collateral"]["USDC"]
    with pytest.raises(errors.UnpricedAsset) as unpriced:
        check_schedule(schedule, model.spot_moves, Market.parse(market))
    assert unpriced.value.field == "collateral.USDC"
    given = example("collateral-schedule")
    given["assets"][3]["risk_underlying"] = "SOL"
    with pytest.raises(errors.UnknownUnderlying) as unknown:
        check_schedule(CollateralSchedule.parse(given), model.spot_moves, markets[0])
    assert unknown.value.field == "assets[3].risk_underlying"
    given["assets"][3]["price_source"]["id"] = "SOL"
    with pytest.raises(errors.UnpricedAsset) as spot:
        check_schedule(CollateralSchedule.parse(given), model.spot_moves, markets[0])
    assert spot.value.field == "underlyings.SOL.spot"


def test_values_are_finite_and_read_only(
    schedule: CollateralSchedule, model: ScanModel, markets: tuple[Market, ...], holdings: CollateralHoldings
) -> None:
    values = collateral_values(schedule, model.spot_moves, markets[0], holdings.posted)
    assert values.maintenance.shape == values.initial.shape == (24,)
    with pytest.raises(ValueError, match="read-only"):
        values.initial[0] = 0
    with pytest.raises(errors.NonFiniteWeight):
        type(values)(np.array([np.inf]), np.array([1.0]))


@settings(deadline=None)
@given(
    held=st.integers(0, 10**12),
    more=st.integers(0, 10**12),
    shares=st.lists(st.integers(0, 100), min_size=1, max_size=5),
)
def test_the_integers_of_c_are_never_above_the_exact_value(
    held: int,
    more: int,
    shares: list[int],
    model: ScanModel,
    markets: tuple[Market, ...],
    entry_map: EntryMap,
    universe: Universe,
    gross_limit: int,
    schedule: CollateralSchedule,
) -> None:
    tiers = [
        {"above": str(10**6 * index), "up_to": str(10**6 * (index + 1)), "percent": str(percent)}
        for index, percent in enumerate(sorted(shares, reverse=True))
    ]
    document: Any = schedule.canonical()
    assets = [*document["assets"][:4], {**document["assets"][4], "tiers": tiers}]
    schedule = CollateralSchedule.parse({**document, "assets": assets})
    posted = {"ETH": held, "USDC": more}
    values = collateral_values(schedule, model.spot_moves, markets[0], posted)
    weights = compile_weights(model, universe, markets[0]).spread(entry_map)
    run = compile_run(weights, values, entry_map, gross_limit)
    for kind in ("maintenance", "initial"):
        exact = unrounded_values(schedule, model.spot_moves, markets[0], posted, kind)
        for place in ("fhe", "proof"):
            matrix = run.of(kind, place)  # type: ignore[arg-type]  # two of the literals
            unit = Fraction(2) ** matrix.unit_exponent
            for entry, value in zip(matrix.collateral.tolist(), exact, strict=True):
                assert value - 2 * unit < entry * unit <= value
