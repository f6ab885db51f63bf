"""Cross-margin in integers: no matrix says sufficient where the reference says short, and slack only worsens."""

from typing import Any

import numpy as np
import pytest

from atomic_margin.margin import (
    CollateralSchedule,
    EntryMap,
    Market,
    Universe,
    compile_run,
    errors,
)
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.cross_margin import (
    CrossMarginModel,
    compile_cuts,
    compile_exact_cross,
    contributions,
    cut_collateral,
    exact_cross_collateral,
)
from atomic_margin.margin.models.cross_margin.values import lot_values, pool_values
from atomic_margin.margin.models.expected_shortfall import sample_books, vectors
from atomic_margin.margin.rows.least_slack import least_slack
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import compile_exact

from .books import LIMIT, Posted
from .rounded import assert_compiled, assert_compiled_exact

PLACES: tuple[Any, ...] = ("fhe", "proof")
FORMS: tuple[Any, ...] = ("expanded", "spread")


def left_of(
    model: CrossMarginModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    posted: Posted,
    lots: np.ndarray[Any, Any],
    kind: Any,
) -> np.ndarray[Any, Any]:
    """Return M + Σ K_v of many books at once, least of all scenarios, (B,)."""
    values, pools = lot_values(model, universe, market, kind), pool_values(model, schedule, market, posted)[kind]
    held = np.stack(
        [
            np.maximum(lots, 0)[:, at] @ values.long[:, at].T + np.maximum(-lots, 0)[:, at] @ values.short[:, at].T
            for at in (values.venue == v for v in range(len(model.venues)))
        ],
        axis=-1,
    )
    every = [pools.central + contributions(model, book, pools.venues).sum(axis=1) for book in held]
    return np.array(every).min(axis=1)


def integers_never_exceed_the_reference(
    model: CrossMarginModel,
    universe: Universe,
    entry_map: EntryMap,
    market: Market,
    schedule: CollateralSchedule,
    posted: Posted,
    lots: np.ndarray[Any, Any],
) -> int:
    """Return how many accounts were short by the reference; compare every form of integers with it."""
    z = vectors(lots, entry_map, universe)
    runs = []
    for form in FORMS:
        weights, public = (
            compile_cuts(model, universe, market, form=form).spread(entry_map),
            cut_collateral(model, schedule, market, posted, form=form),
        )
        run = compile_run(weights, public, entry_map, LIMIT, bits=24, weight_bits=22)
        assert_compiled(run, weights, public, entry_map, LIMIT, bits=24, weight_bits=22)
        runs.append(run)
    exact, public = (
        compile_exact_cross(model, universe, market).spread(entry_map),
        exact_cross_collateral(model, schedule, market, posted),
    )
    proof = compile_exact(exact, public, entry_map, LIMIT)
    assert_compiled_exact(proof, exact, public, entry_map, LIMIT)
    count = 0
    for kind in KINDS:
        true = left_of(model, universe, market, schedule, posted, lots, kind)
        short = true < 0
        count += int(short.sum())
        for matrix in (run.of(kind, place) for run in runs for place in PLACES):
            least = (z @ matrix.weights.T + matrix.collateral).min(axis=1) * float(matrix.unit)
            assert (least[short] <= true[short]).all()
        rows = proof.of(kind)
        for vector, left in zip(z[:100], true[:100], strict=True):
            surplus = exact_surplus(rows, vector, least_slack(rows, vector))[rows.margin_rows]
            assert float(int(surplus.min()) * rows.matrix.unit) <= left
    return count


def test_integers_on_generated_books(
    cross: CrossMarginModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    posted: Posted,
) -> None:
    lots = sample_books(universe, markets[0], 25, seed=13)
    for market in markets[:2]:
        found = integers_never_exceed_the_reference(cross, universe, entry_map, market, schedule, posted, lots)
        assert 0 < found < 50


@pytest.mark.slow
def test_ten_thousand_books(
    cross: CrossMarginModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    posted: Posted,
) -> None:
    lots = sample_books(universe, markets[0], 10_000, seed=103)
    for number, market in enumerate(markets):
        integers_never_exceed_the_reference(
            cross, universe, entry_map, market, schedule, posted, lots[number :: len(markets)]
        )


def test_more_slack_only_worsens_and_less_is_refused(
    cross: CrossMarginModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    posted: Posted,
) -> None:
    matrix = compile_exact(
        compile_exact_cross(cross, universe, markets[1]).spread(entry_map),
        exact_cross_collateral(cross, schedule, markets[1], posted),
        entry_map,
        LIMIT,
    ).maintenance
    draw = np.random.Generator(np.random.PCG64(4))
    for z in vectors(sample_books(universe, markets[1], 10, seed=8), entry_map, universe):
        u = least_slack(matrix, z)
        honest = exact_surplus(matrix, z, u)[matrix.margin_rows]
        other = exact_surplus(matrix, z, u + draw.integers(0, 99, size=len(u)))[matrix.margin_rows]
        assert (other <= honest).all()
        needed = np.flatnonzero(u)
        u[draw.choice(needed)] -= 1
        with pytest.raises(errors.SlackTooSmall):
            exact_surplus(matrix, z, u)
