"""Expected shortfall: no form of rows exceeds the reference, in integers and with slack."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.margin import (
    BITS,
    CollateralHoldings,
    CollateralSchedule,
    CollateralValues,
    EntryMap,
    Market,
    Portfolio,
    ScanModel,
    Universe,
    collateral_values,
    compile_run,
    encode,
    errors,
)
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.expected_shortfall import (
    ExpectedShortfallModel,
    compile_conservative,
    compile_exact_weights,
    conservative_collateral,
    exact_collateral,
    expected_shortfall,
    revalue_moves,
    sample_books,
    tail_average,
    tail_slack,
    value_at_risk,
    vectors,
)
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import compile_exact

from ..lines import portfolio_of
from .books import LIMIT, Json, book_of, reduced
from .rounded import assert_compiled, assert_compiled_exact


def surpluses(
    model: ExpectedShortfallModel, universe: Universe, market: Market, lots: np.ndarray[Any, Any]
) -> dict[str, Any]:
    """Return true surpluses without collateral, (B,) of each kind, straight from net and gross lots."""
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    charges = np.maximum(lots, 0) @ values.charge_long + np.maximum(-lots, 0) @ values.charge_short
    risk = tail_average(-values.gain @ lots.T, float(model.depth)) + charges
    return {"maintenance": lots @ values.profit - risk, "initial": lots @ values.profit - 1.3 * risk}


@pytest.mark.parametrize(("form", "rows"), [("cover", 33), ("scenarios", 260), ("groups", 20), ("instruments", 1)])
def test_no_form_exceeds_the_true_surplus(
    shortfall: ExpectedShortfallModel, universe: Universe, markets: tuple[Market, ...], form: Any, rows: int
) -> None:
    """At every market, although the cover was fitted at the first."""
    groups = [number % 20 for number in range(260)]
    lots = sample_books(universe, markets[0], 400, seed=5)
    entry_map = EntryMap.of(universe, LIMIT, BITS)
    z = vectors(lots, entry_map, universe)
    for market in markets:
        weights = compile_conservative(shortfall, universe, market, form=form, groups=groups).spread(entry_map)
        true = surpluses(shortfall, universe, market, lots)
        assert weights.shape[0] == rows
        for kind in KINDS:
            assert ((z @ weights.of(kind).T).min(axis=1) <= true[kind] + 1e-6).all()


def test_measured_gaps(shortfall: ExpectedShortfallModel, universe: Universe, markets: tuple[Market, ...]) -> None:
    """The cover is closer than the alternatives, one row a move included; the page has the figures."""
    lots = sample_books(universe, markets[0], 400, seed=2)
    entry_map = EntryMap.of(universe, LIMIT, BITS)
    z = vectors(lots, entry_map, universe)
    values = revalue_moves(shortfall.scenarios, shortfall.charges, universe, markets[0])
    true = surpluses(shortfall, universe, markets[0], lots)["maintenance"]
    requirement = lots @ values.profit - true

    def gap(**form: Any) -> float:
        weights = compile_conservative(shortfall, universe, markets[0], **form).spread(entry_map)
        return float(((true - (z @ weights.maintenance.T).min(axis=1)) / requirement).mean())

    assert gap() < 0.37
    assert gap() < gap(form="scenarios") < gap(form="instruments")


@pytest.mark.long
def test_integer_rows_never_exceed_the_reference_with_collateral(
    shortfall: ExpectedShortfallModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    holdings: CollateralHoldings,
    portfolio: Portfolio,
    gross_limit: int,
) -> None:
    for market in markets:
        weights = compile_conservative(shortfall, universe, market).spread(entry_map)
        collateral = conservative_collateral(shortfall, schedule, market, holdings.posted)
        run = compile_run(weights, collateral, entry_map, gross_limit, bits=24, weight_bits=22)
        assert_compiled(run, weights, collateral, entry_map, gross_limit, bits=24, weight_bits=22)
        exact, public = (
            compile_exact_weights(shortfall, universe, market).spread(entry_map),
            exact_collateral(shortfall, schedule, market, holdings.posted),
        )
        proof = compile_exact(exact, public, entry_map, gross_limit)
        assert_compiled_exact(proof, exact, public, entry_map, gross_limit)
        for lots in (None, *sample_books(universe, market, 8, seed=11) // 4):
            book = portfolio if lots is None else book_of(lots, universe)
            true = expected_shortfall(shortfall, universe, market, schedule, book, holdings.posted)
            z = encode(book, universe, entry_map)
            for kind in KINDS:
                fine, coarse = run.of(kind, "proof"), run.of(kind, "fhe")
                surplus = float(fine.surplus(z).min() * fine.unit)
                assert float(coarse.surplus(z).min() * coarse.unit) <= surplus <= true.of(kind)
                matrix = proof.of(kind)
                rows = exact_surplus(matrix, z, tail_slack(matrix, z))
                got = float(int(rows[0]) * matrix.matrix.unit)
                assert surplus <= got <= true.of(kind)
                need = max(true.of(kind) - surplus, true.maintenance_requirement)
                assert true.of(kind) - got <= 0.002 * need


def test_an_empty_account_owes_nothing(
    shortfall: ExpectedShortfallModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
) -> None:
    z = np.zeros(len(entry_map), dtype=np.int64)
    run = compile_run(
        compile_conservative(shortfall, universe, markets[0]).spread(entry_map),
        conservative_collateral(shortfall, schedule, markets[0], {}),
        entry_map,
        LIMIT,
    )
    assert run.initial_proof.surplus(z).tolist() == [0] * 33
    proof = compile_exact(
        compile_exact_weights(shortfall, universe, markets[0]).spread(entry_map),
        exact_collateral(shortfall, schedule, markets[0], {}),
        entry_map,
        LIMIT,
    )
    assert exact_surplus(proof.initial, z, tail_slack(proof.initial, z)).tolist() == [0] * 261


@pytest.mark.long
def test_exact_rows_equal_the_reference_before_rounding(
    shortfall: ExpectedShortfallModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    holdings: CollateralHoldings,
) -> None:
    exact = compile_exact_weights(shortfall, universe, markets[1]).spread(entry_map)
    public = exact_collateral(shortfall, schedule, markets[1], holdings.posted)
    for lots in sample_books(universe, markets[1], 15, seed=3):
        true = expected_shortfall(shortfall, universe, markets[1], schedule, book_of(lots, universe), holdings.posted)
        z = encode(book_of(lots, universe), universe, entry_map)
        for kind in KINDS:
            rows = exact.weights.of(kind) @ z + public.of(kind)
            losses = -rows[1:] / shortfall.depth.denominator
            t = value_at_risk(losses, shortfall.depth)
            v = np.maximum(losses - t, 0) / float(shortfall.depth)
            u = np.concatenate([[max(t, 0), max(-t, 0)], v])
            full = rows + exact.require_slack().of(kind) @ u
            scale = abs(true.collateral) + true.charges + abs(true.initial_shortfall)
            assert (full[1:] >= -1e-9 * scale).all()
            assert full[0] == pytest.approx(true.of(kind), abs=1e-9 * scale)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), book=st.integers(0, 39))
def test_dishonest_slack_only_worsens_the_account(seed: int, book: int, exact_case: Any) -> None:
    matrix, books = exact_case
    z = books[book]
    best = tail_slack(matrix, z)
    honest = int(exact_surplus(matrix, z, best)[0])
    draw = np.random.Generator(np.random.PCG64(seed))
    p, q, losses = int(matrix.slack[1, 2]), int(matrix.slack[1, 0]), -matrix.matrix.surplus(z)[1:]
    level = int(best[0] - best[1]) + int(draw.normal() * 0.1 * (np.ptp(losses) // q + 1))
    up, down = max(level, 0), min(max(-level, 0), (1 << matrix.slack_widths[1]) - 1)
    least = -(np.minimum(q * (up - down) - losses, 0) // p)
    other = np.concatenate([[up, down], least]).astype(np.int64)
    # Any valid choice leaves at most the honest surplus …
    assert int(exact_surplus(matrix, z, other)[0]) <= honest
    extra = other.copy()
    extra[2:] += draw.integers(0, 50, size=len(least))
    assert int(exact_surplus(matrix, z, extra)[0]) <= honest
    # … and one unit less anywhere it is needed is refused.
    needed = np.flatnonzero(other[2:])
    if needed.size:
        other[2 + draw.choice(needed)] -= 1
        with pytest.raises(errors.SlackTooSmall):
            exact_surplus(matrix, z, other)


@pytest.fixture(scope="session")
def exact_case(
    shortfall: ExpectedShortfallModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    holdings: CollateralHoldings,
) -> Any:
    run = compile_exact(
        compile_exact_weights(shortfall, universe, markets[0]).spread(entry_map),
        exact_collateral(shortfall, schedule, markets[0], holdings.posted),
        entry_map,
        LIMIT,
    )
    return run.maintenance, vectors(sample_books(universe, markets[0], 40, seed=9), entry_map, universe)


def test_a_gain_beyond_its_cap_costs_margin_and_never_adds_any(
    given_model: Json,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
) -> None:
    """All moves up and a long book: value at risk is a gain, in full only where the cap lets it."""
    document = reduced(given_model, 40, "0.1")
    for move in document["scenarios"]:
        move["spot"] = {"BTC": "0.1", "ETH": "0.1"}
    model = ExpectedShortfallModel.parse(document)
    book = portfolio_of(("BTC-PERP", "long", 300))
    true = expected_shortfall(model, universe, markets[0], schedule, book, {})
    assert true.value_at_risk < -200_000
    found = []
    for cap in (0.0, 2.0**16, 2.0**20):
        run = compile_exact(
            compile_exact_weights(model, universe, markets[0], gain_cap=cap).spread(entry_map),
            exact_collateral(model, schedule, markets[0], {}),
            entry_map,
            LIMIT,
        )
        matrix = run.maintenance
        z = encode(book, universe, entry_map)
        rows = exact_surplus(matrix, z, tail_slack(matrix, z))
        found.append(float(int(rows[0]) * matrix.matrix.unit))
    assert found[0] < found[1] < found[2] <= true.maintenance
    assert found[2] == pytest.approx(true.maintenance, rel=1e-3)


def test_collateral_rows_agree_with_the_schedule(
    shortfall: ExpectedShortfallModel,
    model: ScanModel,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
) -> None:
    """Cash that no move touches counts in full in every row, as it does for the scan model."""
    cash = {"USDC": 10**12}
    wanted = collateral_values(schedule, model.spot_moves, markets[0], cash).maintenance[0]
    assert conservative_collateral(shortfall, schedule, markets[0], cash).initial == pytest.approx([wanted] * 33)
    exact = exact_collateral(shortfall, schedule, markets[0], cash).maintenance
    assert exact.tolist() == [wanted] + [0.0] * 260


@pytest.mark.slow
def test_ten_thousand_books(
    shortfall: ExpectedShortfallModel, universe: Universe, entry_map: EntryMap, markets: tuple[Market, ...]
) -> None:
    """No integer matrix says sufficient where the reference says breach: integers never exceed the reference."""
    lots = sample_books(universe, markets[0], 10_000, seed=101)
    z = vectors(lots, entry_map, universe)
    nothing = CollateralValues(np.zeros(33), np.zeros(33))
    for market in markets:
        run = compile_run(
            compile_conservative(shortfall, universe, market).spread(entry_map),
            nothing,
            entry_map,
            LIMIT,
            bits=24,
            weight_bits=22,
        )
        exact = compile_exact(
            compile_exact_weights(shortfall, universe, market).spread(entry_map),
            CollateralValues(np.zeros(261), np.zeros(261)),
            entry_map,
            LIMIT,
            bits=40,
        )
        true = surpluses(shortfall, universe, market, lots)
        for kind in KINDS:
            for matrix in (run.of(kind, "fhe"), run.of(kind, "proof")):
                got = (z @ matrix.weights.T + matrix.collateral).min(axis=1) * float(matrix.unit)
                assert (got <= true[kind]).all()
            proof = exact.of(kind)
            for vector, surplus in zip(z[::10], true[kind][::10], strict=True):
                rows = proof.matrix.surplus(vector) + proof.slack @ tail_slack(proof, vector)
                assert (rows[1:] >= 0).all()
                assert int(rows[0]) * float(proof.matrix.unit) <= surplus
