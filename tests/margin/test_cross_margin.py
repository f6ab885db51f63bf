"""Cross-margin: rows against the transfers solved by linear programming, limits, directions, and bad data."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import (
    CollateralSchedule,
    EntryMap,
    Market,
    Portfolio,
    ScanModel,
    Universe,
    collateral_values,
    compile_weights,
    encode,
    errors,
    true_surplus,
)
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.cross_margin import (
    CrossMarginModel,
    JointDistribution,
    Venue,
    compile_cuts,
    compile_exact_cross,
    contributions,
    cross_margin,
    cut_collateral,
    exact_cross_collateral,
    generate_moves,
)
from atomic_margin.margin.models.expected_shortfall import sample_books

from .books import Json, Posted, book_of


def three_venues(document: Json, universe: Universe) -> Json:
    """Venues with different terms: perpetuals, futures, options; futures and options have no credit for each other."""
    kinds = {"perpetual": "swaps", "future": "futures", "option": "options"}
    terms: dict[str, Json] = {
        "swaps": {"transfer_haircut": "0.05", "transfer_limit": "400000"},
        "futures": {"transfer_haircut": "0", "transfer_limit": None},
        "options": {"transfer_haircut": "0.01", "transfer_limit": "0"},
    }
    listed: dict[str, list[str]] = {name: [] for name in terms}
    for item in universe.instruments:
        listed[kinds[item.kind]].append(item.id)
    return {
        **document,
        "venues": [{"id": name, "instruments": listed[name], **terms[name]} for name in terms],
        "offsets": [{"id": "one", "venues": ["swaps", "futures"], "credit": "0.9"}],
        "scenarios": document["scenarios"][::3],
    }


def least_cash(profit: Any, pools: Any, credit: Any, haircut: Any, limit: Any, central: float) -> float:
    """Least cash at the hub under which some transfers cover every venue, by linear programming."""
    count = len(profit)
    spare = [pools[v] + (profit[v] if profit[v] < 0 else credit[v] * profit[v]) for v in range(count)]
    cost = np.zeros(2 * count + 1)
    cost[-1] = 1
    venue_rows = np.hstack([np.eye(count), -np.eye(count), np.zeros((count, 1))])
    hub_row = np.concatenate([[-(1 - h) for h in haircut], np.ones(count), [-1]])
    found = linprog(
        cost,
        A_ub=np.vstack([venue_rows, hub_row]),
        b_ub=[*spare, central],
        bounds=[(0, bound) for bound in limit] + [(0, None)] * (count + 1),
    )
    assert found.status == 0
    return float(found.fun)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9), count=st.integers(1, 4))
def test_the_theorem_is_what_transfers_can_do(seed: int, count: int) -> None:
    draw = np.random.Generator(np.random.PCG64(seed))
    profit, pools = draw.normal(size=count) * 10, np.abs(draw.normal(size=count)) * 6 * draw.integers(0, 2, size=count)
    credit, haircut = draw.choice([0.0, 0.5, 1.0], size=count), draw.choice([0.0, 0.1, 0.6], size=count)
    limit = [None if draw.random() < 0.3 else float(draw.integers(0, 8)) for _ in range(count)]
    central = float(draw.integers(0, 3))
    venues = [
        {"id": f"v{v}", "instruments": [f"i{v}"], "transfer_haircut": f"{haircut[v]:.1f}"}
        | {"transfer_limit": None if limit[v] is None else f"{limit[v]:.0f}"}
        for v in range(count)
    ]
    model = CrossMarginModel.model_construct(
        venues=tuple(Venue.model_validate(row) for row in venues), offsets=(), scenarios=()
    )
    # In place of the cached property: credits that no offset sets between so few venues could give.
    model.__dict__["credits"] = {f"v{v}": credit[v] for v in range(count)}
    left = central + float(contributions(model, profit[None], pools[None]).sum())
    assert max(0.0, -left) == pytest.approx(least_cash(profit, pools, credit, haircut, limit, central), abs=1e-7)


@pytest.mark.long
@pytest.mark.parametrize("venues", [2, 3])
def test_rows_are_the_transfers_solved_for_whole_accounts(
    document: Json,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    posted: Posted,
    venues: int,
) -> None:
    """From positions to the shortfall: rows with and without slack equal the linear programs, spread rows are below."""
    held: Posted = posted if venues == 2 else {"swaps": posted["futures"], "options": posted["options"]}
    model = CrossMarginModel.parse(document if venues == 2 else three_venues(document, universe))
    credit = [float(model.credits[item.id]) for item in model.venues]
    assert credit == ([0.8, 0.8] if venues == 2 else [0.0, 0.0, 0.0])
    haircut = [float(item.transfer_haircut) for item in model.venues]
    limit = [None if item.transfer_limit is None else float(item.transfer_limit) for item in model.venues]
    weights, spread, exact = (
        compile_cuts(model, universe, markets[1]).spread(entry_map),
        compile_cuts(model, universe, markets[1], form="spread").spread(entry_map),
        compile_exact_cross(model, universe, markets[1]).spread(entry_map),
    )
    public, spread_public, exact_public = (
        cut_collateral(model, schedule, markets[1], held),
        cut_collateral(model, schedule, markets[1], held, form="spread"),
        exact_cross_collateral(model, schedule, markets[1], held),
    )
    count, short = len(model.scenarios), 0
    for lots in sample_books(universe, markets[1], 24, seed=21):
        book = book_of(lots, universe)
        z = encode(book, universe, entry_map)
        true = cross_margin(model, universe, markets[1], schedule, book, held)
        central = collateral_values(schedule, model.spot_moves, markets[1], held.get("central", {})).maintenance
        solved = max(
            least_cash(true.profit[s], true.pools[s], credit, haircut, limit, float(central[s])) for s in range(count)
        )
        assert true.shortfall("maintenance") == pytest.approx(solved, abs=1e-3)
        short += solved > 0
        for kind in KINDS:
            least = float((weights.of(kind) @ z + public.of(kind)).min())
            assert max(0.0, -least) == pytest.approx(true.shortfall(kind), abs=1e-4)
            assert float((spread.of(kind) @ z + spread_public.of(kind)).min()) <= least + 1e-4
            rows = exact.weights.of(kind) @ z + exact_public.of(kind)
            slack = exact.require_slack().of(kind)
            u = np.zeros(slack.shape[1])
            for row, column in np.argwhere((slack > 0) & exact.require_slack().validity[:, None]):
                u[column] = max(u[column], -rows[row])
            full = rows + slack @ u
            assert full[:count] == pytest.approx(true.of(kind), abs=1e-4)
    assert 0 < short < 24


def test_one_venue_is_the_scan_model(
    document: Json,
    universe: Universe,
    model: ScanModel,
    example: Callable[[str], Json],
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    entry_map: EntryMap,
) -> None:
    """Row by row, collateral included, whatever the terms of leaving the only venue."""
    scan = example("model-scan")
    names = list(universe.underlyings)
    for row in scan["scenarios"]:
        row["source"] = "grid"
        row["volatility"], row["basis"] = (dict.fromkeys(names, row[field]) for field in ("volatility", "basis"))
    venue = {"id": "all", "instruments": [item.id for item in universe.instruments]}
    terms = {"transfer_haircut": "0.1", "transfer_limit": "5"}
    one = CrossMarginModel.parse(
        {**document, **{k: scan[k] for k in ("scenarios", "charges")}, "venues": [{**venue, **terms}], "offsets": []}
    )
    held = {"USDC": 10**12, "BTC": 2 * 10**8}
    for market in markets:
        mine, theirs = compile_cuts(one, universe, market), compile_weights(model, universe, market)
        public, known = (
            cut_collateral(one, schedule, market, {"all": held}),
            collateral_values(schedule, model.spot_moves, market, held),
        )
        for kind in KINDS:
            np.testing.assert_allclose(mine.of(kind), theirs.of(kind), rtol=1e-12, atol=1e-9)
            np.testing.assert_allclose(public.of(kind), known.of(kind), rtol=1e-14)
        true = true_surplus(model, universe, market, schedule, portfolio, held)
        z = encode(portfolio, universe, entry_map)
        spread = mine.spread(entry_map).maintenance
        assert float((spread @ z + public.maintenance).min()) == pytest.approx(float(true.maintenance.min()))


def test_free_transfers_and_full_credit_are_one_pool(
    document: Json, universe: Universe, markets: tuple[Market, ...], schedule: CollateralSchedule, posted: Posted
) -> None:
    free = copy.deepcopy(document)
    for venue in free["venues"]:
        venue |= {"transfer_limit": None, "transfer_haircut": "0"}
    free["offsets"][0]["credit"] = "1"
    model = CrossMarginModel.parse(free)
    weights = compile_cuts(model, universe, markets[0])
    assert weights.shape[0] == len(model.scenarios)
    for lots in sample_books(universe, markets[0], 10, seed=3):
        true = cross_margin(model, universe, markets[0], schedule, book_of(lots, universe), posted)
        pooled = true.profit.sum(axis=1) + true.pools.sum(axis=1)
        central = collateral_values(schedule, model.spot_moves, markets[0], posted["central"]).maintenance
        assert true.maintenance == pytest.approx(pooled + central)


def test_no_transfers_and_no_credit_leave_every_venue_alone(
    document: Json, universe: Universe, markets: tuple[Market, ...], schedule: CollateralSchedule, posted: Posted
) -> None:
    closed = copy.deepcopy(document)
    for venue in closed["venues"]:
        venue["transfer_limit"] = "0"
    model = CrossMarginModel.parse({**closed, "offsets": []})
    alone = {pool: held for pool, held in posted.items() if pool != "central"}
    for lots in sample_books(universe, markets[0], 10, seed=3):
        true = cross_margin(model, universe, markets[0], schedule, book_of(lots, universe), alone)
        assert true.maintenance == pytest.approx(np.minimum(true.profit + true.pools, 0).sum(axis=1))


def test_better_terms_never_cost_margin(
    document: Json, universe: Universe, markets: tuple[Market, ...], schedule: CollateralSchedule, posted: Posted
) -> None:
    better = copy.deepcopy(document)
    better["venues"][0]["transfer_limit"] = "2500000"
    better["venues"][1]["transfer_haircut"] = "0"
    better["offsets"][0]["credit"] = "0.95"
    old, new = CrossMarginModel.parse(document), CrossMarginModel.parse(better)
    for lots in sample_books(universe, markets[1], 20, seed=5):
        book = book_of(lots, universe)
        before, after = (
            cross_margin(model, universe, markets[1], schedule, book, posted).initial for model in (old, new)
        )
        assert (before <= after + 1e-6).all()


def test_joint_moves_have_the_covariance_they_are_drawn_from(texts: dict[str, str]) -> None:
    joint = JointDistribution.parse(json.loads(texts["joint-distribution"]))
    moves = generate_moves(joint, 4000, seed=3)
    drawn = np.array([[float(getattr(m, f.field)[f.underlying]) for f in joint.factors] for m in moves])
    wanted = np.array(joint.covariance, dtype=float)
    scale = np.sqrt(np.outer(wanted.diagonal(), wanted.diagonal()))
    assert np.abs(np.cov(drawn.T) - wanted).max() < 0.07 * scale.max()
    assert (np.abs(np.cov(drawn.T) - wanted) / scale).max() < 0.07
    assert moves == generate_moves(joint, 4000, seed=3)
    assert moves[:5] != generate_moves(joint, 5, seed=4)


def test_a_singular_covariance_moves_both_alike() -> None:
    factors = [{"underlying": name, "field": "spot"} for name in ("A", "B")]
    rows = [["0.01", "0.01"], ["0.01", "0.01"]]
    joint = JointDistribution.parse(
        {"format": "atomic-margin/joint-distribution/1", "factors": factors, "covariance": rows}
    )
    for move in generate_moves(joint, 20, seed=1):
        assert float(move.spot["A"]) == pytest.approx(float(move.spot["B"]), abs=2e-6)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([["0.01", "0.02"], ["0.02", "0.01"]], errors.NotACovariance),
        ([["0.01", "0.005"], ["0.006", "0.01"]], errors.NotACovariance),
        ([["-0.01", "0"], ["0", "-0.01"]], errors.NotACovariance),
        ([["0.01", "0"]], document_errors.MalformedDocument),
        ([["0.01", "nan"], ["0", "0.01"]], document_errors.NotADecimal),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(rows: Any, error: type[Exception]) -> None:
    factors = [{"underlying": name, "field": "spot"} for name in ("A", "B")]
    with pytest.raises(error):
        JointDistribution.parse(
            {"format": "atomic-margin/joint-distribution/1", "factors": factors, "covariance": rows}
        )


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        (("venues", 0, "id"), "options", document_errors.DuplicateId),
        (("venues", 0, "id"), "central", document_errors.MalformedDocument),
        (("venues", 0, "transfer_haircut"), "1", document_errors.OutOfRange),
        (("venues", 0, "transfer_limit"), "-1", document_errors.OutOfRange),
        (("venues", 0, "instruments"), ["BTC-PERP", "BTC-PERP"], document_errors.DuplicateId),
        (("venues", 1, "instruments", 0), "BTC-PERP", document_errors.DuplicateId),
        (("offsets", 0, "venues"), ["futures", "elsewhere"], errors.UnknownVenue),
        (("offsets", 0, "venues"), ["futures"], document_errors.MalformedDocument),
        (("offsets", 0, "credit"), "1.2", document_errors.OutOfRange),
        (("scenarios", 1, "label"), "spot 0 vol up", document_errors.DuplicateId),
        (("scenarios", 0, "volatility", "BTC"), "-1.5", document_errors.OutOfRange),
        (("scenarios", 0, "coverage"), "0", document_errors.OutOfRange),
        (("scenarios", 0, "source"), "guess", document_errors.MalformedDocument),
    ],
)
def test_bad_models_are_refused(document: Json, path: tuple[Any, ...], value: Any, error: type[Exception]) -> None:
    item: Any = document
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
    with pytest.raises(error):
        CrossMarginModel.parse(document)


def test_offset_sets_must_not_disagree(document: Json) -> None:
    document["offsets"].append({"id": "again", "venues": ["options", "futures"], "credit": "0.1"})
    with pytest.raises(document_errors.DuplicateId):
        CrossMarginModel.parse(document)


def test_documents_that_do_not_fit_together_are_refused(
    document: Json,
    universe: Universe,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    example: Callable[[str], Json],
) -> None:
    model = CrossMarginModel.parse(document)
    with pytest.raises(errors.UnknownVenue):
        cut_collateral(model, schedule, markets[0], {"elsewhere": {"USDC": 1}})
    with pytest.raises(errors.UnknownAsset):
        cut_collateral(model, schedule, markets[0], {"central": {"DOGE": 1}})
    late = example("market-1")
    late["as_of"] = "2026-12-25T08:00:00Z"
    with pytest.raises(errors.UnpricedInstrument) as expired:
        compile_cuts(model, universe, Market.parse(late))
    assert expired.value.field == "underlyings.BTC.expiries.2026-12-25T08:00:00Z.settlement"
    document["venues"][0]["instruments"][0] = "BTC-GONE"
    with pytest.raises(errors.UnknownInstrument):
        compile_cuts(CrossMarginModel.parse(document), universe, markets[0])
    del document["venues"][0]["instruments"][0]
    with pytest.raises(document_errors.MalformedDocument, match="on no venue"):
        compile_exact_cross(CrossMarginModel.parse(document), universe, markets[0])


def test_too_many_rows_are_refused(document: Json, universe: Universe, markets: tuple[Market, ...]) -> None:
    row = document["scenarios"][0]
    document["scenarios"] = [{**row, "label": str(number)} for number in range(120)]
    model = CrossMarginModel.parse(document)
    with pytest.raises(errors.TooManyCuts):
        compile_cuts(model, universe, markets[0])
    assert compile_exact_cross(model, universe, markets[0]).weights.shape[0] == 840
