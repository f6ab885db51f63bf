"""Expected shortfall: the reference against slower ones, its cover, bad data refused."""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import (
    CollateralSchedule,
    Market,
    Portfolio,
    ScanModel,
    Universe,
    compile_weights,
    errors,
)
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.expected_shortfall import (
    ExpectedShortfallModel,
    check_cover,
    compile_conservative,
    compile_exact_weights,
    expected_shortfall,
    fit_cover,
    tail_average,
    value_at_risk,
)

from ..lines import portfolio_of
from .books import Json, reduced


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
    book = portfolio_of(("BTC-PERP", "long", 10))
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
    with pytest.raises(errors.UnpricedInstrument) as expired:
        compile_conservative(shortfall, universe, Market.parse(late))
    assert expired.value.field == "underlyings.BTC.expiries.2026-12-25T08:00:00Z.settlement"
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
