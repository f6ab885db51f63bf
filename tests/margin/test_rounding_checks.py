"""Bounds of matrices, and what their unit does in a crash, on the example documents."""

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest

from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    CollateralValues,
    EntryMap,
    Market,
    RunMatrices,
    ScanModel,
    TrueWeights,
    Universe,
    check_bounds,
    check_gross_limit,
    collateral_values,
    compile_run,
    compile_weights,
    errors,
)
from atomic_margin.margin.kinds import KINDS

from .rounded import assert_compiled

# In a unit beyond any lot each lot may still weigh one, and each unit of payable cash too: 10 bits of them and 7.
LARGEST = (2**19 - 1 - (2**10 - 1) - (2**7 - 1)) * 3452 - 1


class Example(NamedTuple):
    weights: TrueWeights
    collateral: CollateralValues
    run: RunMatrices


@pytest.fixture(scope="module")
def first_run(
    universe: Universe,
    entry_map: EntryMap,
    model: ScanModel,
    schedule: CollateralSchedule,
    markets: tuple[Market, ...],
    holdings: CollateralHoldings,
    gross_limit: int,
) -> Example:
    weights = compile_weights(model, universe, markets[0]).spread(entry_map)
    collateral = collateral_values(schedule, model.spot_moves, markets[0], holdings.posted)
    return Example(weights, collateral, compile_run(weights, collateral, entry_map, gross_limit))


def test_the_example_is_compiled_by_the_rules(first_run: Example, entry_map: EntryMap, gross_limit: int) -> None:
    assert_compiled(first_run.run, first_run.weights, first_run.collateral, entry_map, gross_limit)


def test_other_prices_are_noticed(
    first_run: Example,
    universe: Universe,
    entry_map: EntryMap,
    model: ScanModel,
    schedule: CollateralSchedule,
    holdings: CollateralHoldings,
    gross_limit: int,
    example: Callable[[str], dict[str, Any]],
) -> None:
    given = example("market-1")
    given["underlyings"]["ETH"]["perpetual"] = "3419.09"  # one tick of 0.01
    market = Market.parse(given)
    weights = compile_weights(model, universe, market).spread(entry_map)
    collateral = collateral_values(schedule, model.spot_moves, market, holdings.posted)
    other = compile_run(weights, collateral, entry_map, gross_limit)
    for place in ("fhe", "proof"):
        for kind in KINDS:
            matrix, known = other.of(kind, place), first_run.run.of(kind, place)  # type: ignore[arg-type]
            assert matrix.hash() != known.hash()
            changed = np.argwhere(matrix.weights != known.weights)[:, 1]
            assert {entry_map.columns[column].instrument for column in changed} <= {"ETH-PERP"}


def test_a_matrix_of_another_universe_is_refused(first_run: Example, entry_map: EntryMap) -> None:
    run, weights, collateral = first_run.run, first_run.weights, first_run.collateral
    other = dataclasses.replace(entry_map, universe_hash="0" * 64)
    with pytest.raises(errors.MatrixMismatch):
        check_bounds(run.initial_fhe, other, 64_000_000)
    with pytest.raises(errors.MatrixMismatch):
        compile_run(weights, collateral, other, 64_000_000)
    with pytest.raises(errors.MatrixMismatch, match="number of rows"):
        compile_run(weights, CollateralValues(np.ones(3), np.ones(3)), entry_map, 64_000_000)


def test_a_matrix_that_could_overflow_is_refused_by_row_and_entry(
    first_run: Example, entry_map: EntryMap, gross_limit: int
) -> None:
    matrix = first_run.run.maintenance_fhe

    def refused(row: int, column: int | None, value: int) -> errors.MarginOverflow:
        weights, collateral = matrix.weights.copy(), matrix.collateral.copy()
        if column is None:
            collateral[row] = value
        else:
            weights[row, column] = value
        altered = dataclasses.replace(matrix, weights=weights, collateral=collateral)
        with pytest.raises(errors.MarginOverflow) as caught:
            check_bounds(altered, entry_map, gross_limit)
        assert caught.value.row == matrix.labels[row]
        return caught.value

    g, c = entry_map.gross_weights[9], int(abs(matrix.collateral[7]))
    # A unit is half a cash lot, and 2^17 - 1 lots are receivable: cash takes half of a row.
    cash = 2 * (2**17 - 1)
    assert entry_map.cash_reach(matrix.weights).tolist() == [cash] * 24
    largest = ((2**19 - c - cash) * g - 1) // gross_limit
    assert refused(7, 9, largest + 1).entry == entry_map.labels[9]
    assert refused(7, 9, -largest - 1).entry == entry_map.labels[9]
    receivable = len(entry_map) - 4
    widest = (2**19 - c - 2 * (2**17 - 2**10)) // (2**10 - 1) + 1
    assert "of cash" in str(refused(7, receivable, widest))
    assert refused(7, None, 2**19).entry == "collateral"
    assert refused(7, None, -(2**19) - 1).entry == "collateral"
    assert "does not fit 18 signed bits" in str(refused(0, 0, 2**17))
    assert "does not fit 18 signed bits" in str(refused(0, 0, -(2**17) - 1))
    altered = matrix.weights.copy()
    altered[7, 9] = -largest
    check_bounds(dataclasses.replace(matrix, weights=altered), entry_map, gross_limit)


def test_bounds_stay_exact_beyond_64_bits(first_run: Example, entry_map: EntryMap) -> None:
    matrix = dataclasses.replace(first_run.run.maintenance_proof, collateral=np.full(24, 2**42))
    with pytest.raises(errors.MarginOverflow, match="gross limit"):
        check_bounds(matrix, entry_map, 2**48, 44, 44)
    check_bounds(matrix, entry_map, 2**48, 62, 44)


def test_the_gross_limit_goes_with_universe_and_profile(first_run: Example, entry_map: EntryMap) -> None:
    check_gross_limit(4 * 1024 * 9725, entry_map)
    with pytest.raises(errors.GrossLimitTooSmall, match="BTC-PERP:long:2"):
        check_gross_limit(4 * 1024 * 9725 - 1, entry_map)
    check_gross_limit(LARGEST, entry_map)
    with pytest.raises(errors.GrossLimitTooLarge, match="ETH-PERP:long:0"):
        check_gross_limit(LARGEST + 1, entry_map)
    with pytest.raises(errors.GrossLimitTooSmall):
        compile_run(first_run.weights, first_run.collateral, entry_map, 1_000_000)
    check_gross_limit(64_000_000, entry_map, minimum_transfer_amount=Decimal(64_000_000))
    with pytest.raises(errors.GrossLimitTooSmall, match=r"minimum transfer amount of 64000000\.01 USD"):
        check_gross_limit(64_000_000, entry_map, minimum_transfer_amount=Decimal("64000000.01"))
    with pytest.raises(errors.GrossLimitTooSmall, match="minimum transfer amount"):
        compile_run(
            first_run.weights, first_run.collateral, entry_map, 64_000_000, minimum_transfer_amount=Decimal(64_000_001)
        )


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("limit", [4 * 1024 * 9725, LARGEST])
def test_in_a_crash_the_unit_coarsens_and_a_run_is_never_refused(
    first_run: Example, entry_map: EntryMap, factor: float, limit: int
) -> None:
    weights = dataclasses.replace(
        first_run.weights,
        maintenance=first_run.weights.maintenance * factor,
        initial=first_run.weights.initial * factor,
    )
    run = compile_run(weights, first_run.collateral, entry_map, limit)
    assert_compiled(run, weights, first_run.collateral, entry_map, limit)


def test_an_account_without_risk_has_the_finest_unit_for_top_ups(first_run: Example, entry_map: EntryMap) -> None:
    columns = tuple(column for column in entry_map.columns if not column.is_cash)
    cashless = EntryMap(entry_map.universe_hash, columns)
    nothing = np.zeros((24, len(cashless)))
    weights = dataclasses.replace(
        first_run.weights,
        entries=cashless.labels,
        entry_map_hash=cashless.hash(),
        maintenance=nothing,
        initial=nothing,
    )
    collateral = CollateralValues(np.zeros(24), np.zeros(24))
    run = compile_run(weights, collateral, cashless, 64_000_000)
    assert run.maintenance_fhe.unit_exponent == -3
    assert_compiled(run, weights, collateral, cashless, 64_000_000)
    assert set(run.maintenance_fhe.weights.ravel()) == {-1}


def test_cash_alone_sets_a_unit(first_run: Example, entry_map: EntryMap) -> None:
    """Half of the gross limit has to fit a row beside the lots, whatever the market: half a cash lot here."""
    given = first_run.weights.maintenance
    nothing = np.where(entry_map.is_cash, given, 0.0)
    weights = dataclasses.replace(first_run.weights, maintenance=nothing, initial=nothing)
    collateral = CollateralValues(np.zeros(24), np.zeros(24))
    run = compile_run(weights, collateral, entry_map, 64_000_000)
    assert_compiled(run, weights, collateral, entry_map, 64_000_000)
    assert (entry_map.cash_lot, run.maintenance_fhe.unit) == (256, 128)
    assert run.maintenance_fhe.weights[0, -4:].tolist() == [2, 2048, -2, -2048]
