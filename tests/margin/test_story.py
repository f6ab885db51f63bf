"""The demo's four ticks on plaintext integers: covered, called and answered, covered, liquidated."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    EntryMap,
    Market,
    Portfolio,
    RunMatrices,
    ScanModel,
    TopUp,
    TrueSurplus,
    Universe,
    check_gross,
    collateral_values,
    compile_run,
    compile_weights,
    compute_top_up,
    encode,
    errors,
    select_transfer,
    true_surplus,
)
from atomic_margin.margin.kinds import KINDS

from .rounded import assert_compiled


class Fund:
    """The example account, able to see one tick with the collateral posted so far."""

    def __init__(
        self,
        universe: Universe,
        entry_map: EntryMap,
        model: ScanModel,
        schedule: CollateralSchedule,
        portfolio: Portfolio,
        gross_limit: int,
        markets: tuple[Market, ...],
        holdings: CollateralHoldings,
    ) -> None:
        self.universe, self.entry_map, self.model, self.schedule = universe, entry_map, model, schedule
        self.portfolio, self.gross_limit, self.markets = portfolio, gross_limit, markets
        self.z: npt.NDArray[np.int64] = encode(portfolio, universe, entry_map)
        self.posted, self.free = dict(holdings.posted), dict(holdings.free)

    def see(self, tick: int) -> "Seen":
        market = self.markets[tick - 1]
        weights = compile_weights(self.model, self.universe, market).spread(self.entry_map)
        collateral = collateral_values(self.schedule, self.model.spot_moves, market, self.posted)
        run = compile_run(weights, collateral, self.entry_map, self.gross_limit)
        assert_compiled(run, weights, collateral, self.entry_map, self.gross_limit)
        report = true_surplus(self.model, self.universe, market, self.schedule, self.portfolio, self.posted)
        call = compute_top_up(
            run.initial_proof,
            self.z,
            minimum_transfer_amount=self.model.minimum_transfer_amount,
            gross_limit=self.gross_limit,
        )
        least = {
            (kind, place): int(run.of(kind, place).surplus(self.z).min())
            for kind in ("maintenance", "initial")
            for place in ("fhe", "proof")
        }
        return Seen(run, report, call, least)

    def select(self, tick: int, call: TopUp) -> Mapping[str, int]:
        return select_transfer(
            call.usd, self.free, self.schedule, self.model.spot_moves, self.markets[tick - 1], posted=self.posted
        )

    def move(self, moved: Mapping[str, int]) -> None:
        for name, quantity in moved.items():
            self.free[name] -= quantity
            self.posted[name] += quantity
            assert self.free[name] >= 0


class Seen(NamedTuple):
    run: RunMatrices
    report: TrueSurplus
    call: TopUp
    least: dict[tuple[str, str], int]

    def covered(self) -> set[bool]:
        """What the FHE matrix, the proof matrix and the true numbers say about maintenance margin."""
        return {
            self.least["maintenance", "fhe"] >= 0,
            self.least["maintenance", "proof"] >= 0,
            self.report.shortfall("maintenance") == 0,
        }


@pytest.fixture
def fund(
    universe: Universe,
    entry_map: EntryMap,
    model: ScanModel,
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    gross_limit: int,
    markets: tuple[Market, ...],
    holdings: CollateralHoldings,
) -> Fund:
    return Fund(universe, entry_map, model, schedule, portfolio, gross_limit, markets, holdings)


def test_the_book_is_a_real_looking_one(fund: Fund) -> None:
    assert 15 <= len(fund.portfolio.lines) <= 20
    assert {line.side for line in fund.portfolio.lines} == {"long", "short"}
    check_gross(fund.z, fund.entry_map, fund.gross_limit)
    assert fund.entry_map.gross(fund.z) > 0.75 * fund.gross_limit


def test_four_ticks(fund: Fund) -> None:
    calm = fund.see(1)
    assert calm.covered() == {True}
    # Covered by 33,800 USD, which 20-bit rows with cash in them lose: a unit is 128 USD. The proof says covered.
    assert calm.least["initial", "fhe"] == -8
    assert calm.least["initial", "proof"] >= 0
    assert calm.report.shortfall("initial") == 0
    assert calm.call.units == 0

    fall = fund.see(2)
    assert fall.covered() == {False}
    assert fall.call.units % fall.call.step == 0
    assert fall.call.usd >= fall.report.shortfall("initial")
    fund.move(fund.select(2, fall.call))
    answered = fund.see(2)
    assert answered.covered() == {True}
    assert answered.least["initial", "proof"] >= 0
    assert answered.least["initial", "fhe"] >= 0
    assert answered.report.shortfall("initial") == 0
    assert answered.call.units == 0

    recovery = fund.see(3)
    assert recovery.covered() == {True}

    crash = fund.see(4)
    assert crash.covered() == {False}
    assert crash.run.maintenance_fhe.unit_exponent > calm.run.maintenance_fhe.unit_exponent
    with pytest.raises(errors.InsufficientFreeCollateral):
        fund.select(4, crash.call)


def test_the_transfer_raises_every_row_of_the_same_units_by_the_call(fund: Fund) -> None:
    before = fund.see(2)
    fund.move(fund.select(2, before.call))
    after = fund.see(2)
    assert after.run.initial_proof.unit_exponent == before.run.initial_proof.unit_exponent
    gained = after.run.initial_proof.collateral - before.run.initial_proof.collateral
    assert (gained >= before.call.units).all()


def test_in_24_bits_the_calm_account_is_covered_in_coarse_rows(fund: Fund) -> None:
    columns = EntryMap.of(fund.universe, fund.gross_limit, 24)
    weights = compile_weights(fund.model, fund.universe, fund.markets[0]).spread(columns)
    collateral = collateral_values(fund.schedule, fund.model.spot_moves, fund.markets[0], fund.posted)
    run = compile_run(weights, collateral, columns, fund.gross_limit, bits=24, weight_bits=22)
    z = encode(fund.portfolio, fund.universe, columns)
    assert all(run.of(kind, "fhe").surplus(z).min() >= 0 for kind in KINDS)


@pytest.mark.parametrize("tick", [1, 2, 3, 4])
def test_rounding_costs_little_of_the_requirement(tick: int, fund: Fund) -> None:
    seen = fund.see(tick)
    for kind in ("maintenance", "initial"):
        requirement = seen.report.maintenance_requirement if kind == "maintenance" else seen.report.initial_requirement
        for place, most in (("fhe", 0.02), ("proof", 0.0001)):
            least = float(seen.run.of(kind, place).usd(seen.least[kind, place]))  # type: ignore[arg-type]
            gap = float(seen.report.of(kind).min()) - least  # type: ignore[arg-type]
            assert 0 <= gap <= most * requirement


def test_the_numbers_of_the_story_are_frozen(fund: Fund) -> None:
    rows = []
    for tick in (1, 2, 3, 4):
        seen = fund.see(tick)
        exponents = seen.run.maintenance_fhe.unit_exponent, seen.run.initial_fhe.unit_exponent
        rows.append((exponents, tuple(seen.least.values()), int(seen.call.usd)))
        if tick == 2:
            fund.move(fund.select(tick, seen.call))
    assert rows == [  # unit exponents; least surplus of maintenance fhe, proof, initial fhe, proof; the call in USD
        ((7, 7), (7361, 31136608, -8, 1081376), 0),
        ((7, 7), (-2107, -7625504, -9334, -36988698), 1250000),
        ((7, 7), (11098, 46544227, 3777, 16733104), 0),
        ((8, 8), (-2974, -11029288, -6221, -24379120), 1750000),
    ]
