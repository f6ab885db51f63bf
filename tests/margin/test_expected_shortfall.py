"""Expected shortfall: the reference against slower ones, both forms of rows against the reference, bad data refused."""

import copy
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    CollateralValues,
    EntryMap,
    Market,
    Portfolio,
    ScanModel,
    Universe,
    check_run,
    collateral_values,
    compile_run,
    compile_weights,
    encode,
    errors,
)
from atomic_margin.margin.models.expected_shortfall import (
    ExpectedShortfallModel,
    check_cover,
    compile_conservative,
    compile_exact_weights,
    conservative_collateral,
    digits,
    exact_collateral,
    expected_shortfall,
    fit_cover,
    revalue_moves,
    sample_books,
    tail_average,
    tail_slack,
    value_at_risk,
)
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import check_exact, compile_exact

Json = dict[str, Any]
EXAMPLE = Path(__file__).parents[2] / "examples" / "expected-shortfall" / "model.json"
KINDS = ("maintenance", "initial")
# Gross of the generated books goes beyond the example account's.
LIMIT = 1 << 29


@pytest.fixture(scope="session")
def given_model() -> Json:
    document: Json = json.loads(EXAMPLE.read_text())
    return document


@pytest.fixture(scope="session")
def shortfall(given_model: Json) -> ExpectedShortfallModel:
    return ExpectedShortfallModel.parse(given_model)


def reduced(document: Json, moves: int, tail: str) -> Json:
    small = {key: value for key, value in document.items() if key != "cover"}
    return copy.deepcopy({**small, "tail": tail, "scenarios": document["scenarios"][:moves]})


def book_of(lots: np.ndarray[Any, Any], universe: Universe) -> Portfolio:
    positions = [
        {"instrument": item.id, "side": "long" if q > 0 else "short", "lots": str(abs(q))}
        for item, q in zip(universe.instruments, lots.tolist(), strict=True)
        if q
    ]
    return Portfolio.parse({"format": "atomic-margin/portfolio/1", "positions": positions})


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40), st.integers(1, 400))
def test_tail_average_is_the_exact_average_of_the_worst_losses(losses: list[int], tenths: int) -> None:
    depth = min(max(Fraction(tenths, 10), Fraction(1)), Fraction(len(losses)))
    left, total = depth, Fraction(0)
    for loss in sorted(losses, reverse=True):
        taken = min(left, Fraction(1))
        total, left = total + taken * loss, left - taken
    assert float(tail_average(np.array(losses, dtype=float), float(depth))) == pytest.approx(
        float(total / depth), rel=1e-9, abs=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["0.025", "0.1", "0.33", "1"]))
def test_rockafellar_and_uryasev_minimise_to_the_tail_average(seed: int, tail: str) -> None:
    losses = np.random.Generator(np.random.PCG64(seed)).normal(size=60).round(3)
    depth = max(Fraction(1), Fraction(tail) * 60)
    cost = np.concatenate([[1.0], np.full(60, 1 / float(depth))])
    found = linprog(
        cost,
        A_ub=np.column_stack([-np.ones(60), -np.eye(60)]),
        b_ub=-losses,
        bounds=[(None, None)] + [(0, None)] * 60,
    )
    assert float(tail_average(losses, float(depth))) == pytest.approx(found.fun, abs=1e-7)
    at = value_at_risk(losses, depth)
    above = np.count_nonzero(losses > at)
    assert above <= depth
    if depth < 60:
        assert np.count_nonzero(losses >= at) > depth


def test_reference_by_hand(
    given_model: Json, universe: Universe, markets: tuple[Market, ...], schedule: CollateralSchedule
) -> None:
    """Two moves of a long perpetual and one bitcoin of collateral, tail of one and a half moves."""
    document = reduced(given_model, 2, "0.75")
    for move, spot in zip(document["scenarios"], ("-0.1", "0.02"), strict=True):
        move["spot"] = {"BTC": spot, "ETH": "0"}
    model = ExpectedShortfallModel.parse(document)
    assert model.depth == Fraction(3, 2)
    book = Portfolio.parse(
        {
            "format": "atomic-margin/portfolio/1",
            "positions": [{"instrument": "BTC-PERP", "side": "long", "lots": "10"}],
        }
    )
    quotes = markets[0].underlyings["BTC"]
    spot, mark = float(quotes.spot), float(quotes.perpetual)
    got = expected_shortfall(model, universe, markets[0], schedule, book, {"BTC": 10**8})
    worst, other = 0.1 * (mark + 0.9 * spot), -0.02 * (mark + 0.9 * spot)
    assert got.losses == pytest.approx([worst, other])
    assert got.value_at_risk == pytest.approx(other)
    assert got.maintenance_shortfall == pytest.approx((worst + other / 2) / 1.5)
    profit = mark - float(universe.by_id["BTC-PERP"].reference_price)
    charge = 0.004 * spot
    assert got.maintenance == pytest.approx(profit + 0.9 * spot - charge - (worst + other / 2) / 1.5)
    assert got.initial == pytest.approx(profit + 0.9 * spot - 1.3 * (charge + (worst + other / 2) / 1.5))


def test_one_row_a_move_is_the_scan_model(given_model: Json, universe: Universe, markets: tuple[Market, ...]) -> None:
    """Where a move is what a scan scenario can say, the two price every instrument alike."""
    document = reduced(given_model, 4, "0.01")
    rows = []
    for number, move in enumerate(document["scenarios"]):
        volatility, basis = ("0.3", "-0.2", "0", "1")[number], ("0", "0.01", "-0.02", "0")[number]
        move["volatility"] = dict.fromkeys(("BTC", "ETH"), volatility)
        move["basis"] = dict.fromkeys(("BTC", "ETH"), basis)
        rows.append(
            {"label": move["label"], "spot": move["spot"], "volatility": volatility, "basis": basis, "coverage": "1"}
        )
    scan = ScanModel.parse(
        {key: value for key, value in document.items() if key != "tail"} | {"name": "scan", "scenarios": rows}
    )
    model = ExpectedShortfallModel.parse(document)
    for market in markets:
        own, theirs = compile_conservative(model, universe, market), compile_weights(scan, universe, market)
        assert own.labels == theirs.labels
        for kind in KINDS:
            np.testing.assert_allclose(own.of(kind), theirs.of(kind), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(("tail", "of"), [("1", np.mean), ("0.0001", np.max)])
def test_limits_of_the_tail(
    given_model: Json,
    universe: Universe,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    tail: str,
    of: Callable[[Any], float],
) -> None:
    model = ExpectedShortfallModel.parse(reduced(given_model, 50, tail))
    got = expected_shortfall(model, universe, markets[0], schedule, portfolio, {})
    assert got.maintenance_shortfall == pytest.approx(of(got.losses))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 4), st.sampled_from([1.0, 2.5, 6.5, 30.0]))
def test_a_cover_bounds_every_linear_loss(seed: int, factors: int, depth: float) -> None:
    draw = np.random.Generator(np.random.PCG64(seed))
    scores = draw.standard_t(3, size=(60, factors))
    corners = draw.normal(size=(12, factors)) * 20
    try:
        check_cover(scores, corners, depth)
    except errors.CoverTooSmall:
        return
    directions = draw.normal(size=(factors, 200))
    assert (tail_average(scores @ directions, depth) <= (corners @ directions).max(axis=0)).all()


def test_a_cover_that_leaves_out_a_tail_average_is_refused(given_model: Json) -> None:
    shrunk = [[format(float(v) * 0.98, ".6f") for v in corner] for corner in given_model["cover"]["corners"]]
    for corners in (shrunk, given_model["cover"]["corners"][:4], given_model["cover"]["corners"][1:]):
        with pytest.raises(errors.CoverTooSmall):
            ExpectedShortfallModel.parse({**given_model, "cover": {**given_model["cover"], "corners": corners}})


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
    z = digits(lots, EntryMap.of(universe), universe)
    for market in markets:
        weights = compile_conservative(shortfall, universe, market, form=form, groups=groups)
        true = surpluses(shortfall, universe, market, lots)
        assert weights.shape[0] == rows
        for kind in KINDS:
            assert ((z @ weights.of(kind).T).min(axis=1) <= true[kind] + 1e-6).all()


def test_measured_gaps(shortfall: ExpectedShortfallModel, universe: Universe, markets: tuple[Market, ...]) -> None:
    """The cover is closer than the alternatives, one row a move included; the page has the figures."""
    lots = sample_books(universe, markets[0], 400, seed=2)
    z = digits(lots, EntryMap.of(universe), universe)
    values = revalue_moves(shortfall.scenarios, shortfall.charges, universe, markets[0])
    true = surpluses(shortfall, universe, markets[0], lots)["maintenance"]
    requirement = lots @ values.profit - true

    def gap(**form: Any) -> float:
        weights = compile_conservative(shortfall, universe, markets[0], **form)
        return float(((true - (z @ weights.maintenance.T).min(axis=1)) / requirement).mean())

    assert gap() < 0.37
    assert gap() < gap(form="scenarios") < gap(form="instruments")


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
        weights = compile_conservative(shortfall, universe, market)
        collateral = conservative_collateral(shortfall, schedule, market, holdings.posted)
        run = compile_run(weights, collateral, entry_map, gross_limit, bits=24, weight_bits=22)
        check_run(run, weights, collateral, entry_map, gross_limit, bits=24, weight_bits=22)
        exact, public = (
            compile_exact_weights(shortfall, universe, market),
            exact_collateral(shortfall, schedule, market, holdings.posted),
        )
        proof = compile_exact(exact, public, entry_map, gross_limit)
        check_exact(proof, exact, public, entry_map, gross_limit)
        for lots in (None, *sample_books(universe, market, 8, seed=11) // 4):
            book = portfolio if lots is None else book_of(lots, universe)
            true = expected_shortfall(shortfall, universe, market, schedule, book, holdings.posted)
            z = encode(book, entry_map)
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
        compile_conservative(shortfall, universe, markets[0]),
        conservative_collateral(shortfall, schedule, markets[0], {}),
        entry_map,
        LIMIT,
    )
    assert run.initial_proof.surplus(z).tolist() == [0] * 33
    proof = compile_exact(
        compile_exact_weights(shortfall, universe, markets[0]),
        exact_collateral(shortfall, schedule, markets[0], {}),
        entry_map,
        LIMIT,
    )
    assert exact_surplus(proof.initial, z, tail_slack(proof.initial, z)).tolist() == [0] * 261


def test_exact_rows_equal_the_reference_before_rounding(
    shortfall: ExpectedShortfallModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    holdings: CollateralHoldings,
) -> None:
    exact = compile_exact_weights(shortfall, universe, markets[1])
    public = exact_collateral(shortfall, schedule, markets[1], holdings.posted)
    for lots in sample_books(universe, markets[1], 40, seed=3):
        true = expected_shortfall(shortfall, universe, markets[1], schedule, book_of(lots, universe), holdings.posted)
        z = encode(book_of(lots, universe), entry_map)
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
    matrix, vectors = exact_case
    z = vectors[book]
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
        compile_exact_weights(shortfall, universe, markets[0]),
        exact_collateral(shortfall, schedule, markets[0], holdings.posted),
        entry_map,
        LIMIT,
    )
    vectors = digits(sample_books(universe, markets[0], 40, seed=9), entry_map, universe)
    return run.maintenance, vectors


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
    book = Portfolio.parse(
        {
            "format": "atomic-margin/portfolio/1",
            "positions": [{"instrument": "BTC-PERP", "side": "long", "lots": "300"}],
        }
    )
    true = expected_shortfall(model, universe, markets[0], schedule, book, {})
    assert true.value_at_risk < -200_000
    found = []
    for cap in (0.0, 2.0**16, 2.0**20):
        run = compile_exact(
            compile_exact_weights(model, universe, markets[0], gain_cap=cap),
            exact_collateral(model, schedule, markets[0], {}),
            entry_map,
            LIMIT,
        )
        matrix = run.maintenance
        z = encode(book, entry_map)
        rows = exact_surplus(matrix, z, tail_slack(matrix, z))
        found.append(float(int(rows[0]) * matrix.matrix.unit))
    assert found[0] < found[1] < found[2] <= true.maintenance
    assert found[2] == pytest.approx(true.maintenance, rel=1e-3)


def spoil(document: Json, path: tuple[Any, ...], value: Any) -> Json:
    bad: Json = json.loads(json.dumps(document))
    item: Any = bad
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
    return bad


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        (("tail",), "0", document_errors.OutOfRange),
        (("tail",), "1.1", document_errors.OutOfRange),
        (("tail",), 0.025, document_errors.NotADecimal),
        (("tail",), "0.024999917", document_errors.OutOfRange),
        (("confidence",), "0.975", document_errors.MalformedDocument),
        (("scenarios",), [], document_errors.MalformedDocument),
        (("scenarios", 1, "label"), "2026-03-05", document_errors.DuplicateId),
        (("scenarios", 1, "label"), "expected shortfall", document_errors.MalformedDocument),
        (("scenarios", 0, "spot", "BTC"), "-1", document_errors.OutOfRange),
        (("scenarios", 0, "volatility", "BTC"), "-1.01", document_errors.OutOfRange),
        (("initial_factor",), "0.9", document_errors.OutOfRange),
        (("charges", "option_long"), "-0.1", document_errors.OutOfRange),
        (("cover", "scores"), [["0", "0"]], document_errors.MalformedDocument),
        (("cover", "corners", 0), ["1"], document_errors.MalformedDocument),
    ],
)
def test_bad_models_are_refused(given_model: Json, path: tuple[Any, ...], value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ExpectedShortfallModel.parse(spoil(given_model, path, value))


def test_moves_have_to_name_the_underlyings_of_the_universe(
    given_model: Json, universe: Universe, markets: tuple[Market, ...]
) -> None:
    for field in ("spot", "volatility", "basis"):
        for names in ({"BTC": "0"}, {"BTC": "0", "ETH": "0", "SOL": "0"}):
            model = ExpectedShortfallModel.parse(spoil(given_model, ("scenarios", 3, field), names))
            with pytest.raises(errors.UnknownUnderlying) as caught:
                compile_conservative(model, universe, markets[0])
            assert caught.value.field.startswith(f"scenarios[3].{field}.")


def test_expired_options_and_unpriced_instruments_are_refused(
    shortfall: ExpectedShortfallModel, universe: Universe, example: Callable[[str], Json]
) -> None:
    late = example("market-1")
    late["as_of"] = "2026-12-25T08:00:00Z"
    with pytest.raises(errors.ExpiredInstrument):
        compile_conservative(shortfall, universe, Market.parse(late))
    missing = example("market-1")
    del missing["underlyings"]["ETH"]
    with pytest.raises(errors.UnpricedInstrument):
        compile_exact_weights(shortfall, universe, Market.parse(missing))


def test_a_new_fit_is_a_sound_cover_of_the_size_asked_for(
    shortfall: ExpectedShortfallModel, universe: Universe, markets: tuple[Market, ...]
) -> None:
    """It is checked on parsing, like any other; corners too few to surround the tail are refused."""
    fitted = fit_cover(shortfall, universe, markets[0], factors=3, rows=16, books=200, steps=100)
    assert fitted.corners.shape == (16, 3)
    assert fitted.depth == Fraction(13, 2)
    with pytest.raises(errors.CoverTooSmall):
        fit_cover(shortfall, universe, markets[0], factors=4, rows=4, books=50, steps=0)


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
    z = digits(lots, entry_map, universe)
    nothing = CollateralValues(np.zeros(33), np.zeros(33))
    for market in markets:
        run = compile_run(
            compile_conservative(shortfall, universe, market),
            nothing,
            entry_map,
            LIMIT,
            bits=24,
            weight_bits=22,
        )
        exact = compile_exact(
            compile_exact_weights(shortfall, universe, market),
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
