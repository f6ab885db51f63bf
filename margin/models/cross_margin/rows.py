"""Cross-margin without slack: rows of A and c for `compile_run`, one for each scenario and needed cut of `pieces`.

Operator, agent and verifier call it. Two forms, and one more:

**expanded.** Every line of every venue, chosen in all needed ways. Nothing is lost: the least row, where negative, is
exactly M + Σ K_v. For V venues at most 4^V - 1 rows a scenario; with no haircut and full credit 2^V - 1.

**spread.** The lines ``kept`` and ``gained`` of a venue become one, in which each position's gain counts at the credit:

    Σ_i z_i min(a_i, f a_i)  <=  min(P, f P)      for P = Σ_i z_i a_i, z >= 0, 0 <= f <= 1

because min(x, f x) is concave and homogeneous, hence superadditive. At most 3^V - 1 rows a scenario; conservative by
what gains and losses inside one venue would have netted before the credit applied.

**complete**, for measurements: `expanded` with the cuts it leaves out because they can only be negative together with
another. The least row is then M + Σ K_v of covered accounts too.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.elementary import ordered_product, ordered_sum
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin.document import CrossMarginModel
from atomic_margin.margin.models.cross_margin.pieces import Piece, all_cuts, needed_cuts, pieces, spread_pieces
from atomic_margin.margin.models.cross_margin.values import LotValues, lot_values, pool_values
from atomic_margin.margin.rows.weights import TrueWeights, lot_weights

CutForm = Literal["expanded", "spread", "complete"]


def compile_cuts(
    model: CrossMarginModel, universe: Universe, market: Market, *, form: CutForm = "expanded"
) -> TrueWeights:
    """Compile slack-free true weights of single lots, USD; rows are scenarios, and within one the needed cuts.

    Raises:
        DocumentError: the documents do not fit together.
        TooManyCuts: more rows than a matrix has.
        OffsettingPairGain, NonFiniteWeight: see `model.compile_weights`.
    """
    chosen = _cuts(model, form)

    def weights(kind: MarginKind) -> tuple[Floats, Floats]:
        lots = lot_values(model, universe, market, kind)
        return _rows(lots, lots.long, chosen), _rows(lots, lots.short, chosen)

    return lot_weights(universe, model.hash(), _labels(model, chosen), weights("maintenance"), weights("initial"))


def cut_collateral(
    model: CrossMarginModel,
    schedule: CollateralSchedule,
    market: Market,
    posted: Mapping[str, Mapping[str, int]],
    *,
    form: CutForm = "expanded",
) -> CollateralValues:
    """Return c for the rows of `compile_cuts`: pools as each cut counts them, limits, and the central pool.

    Raises:
        UnknownVenue, UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: see
            `values.pool_values`.
        TooManyCuts: more rows than a matrix has.
    """
    chosen = _cuts(model, form)
    pools = pool_values(model, schedule, market, posted)
    factors = np.array([[piece.pool for piece in cut] for cut in chosen])
    constants = ordered_sum([[piece.constant for piece in cut] for cut in chosen], axis=1)
    maintenance, initial = (
        (pools[kind].central[:, None] + ordered_product(pools[kind].venues, factors.T) + constants).ravel()
        for kind in KINDS
    )
    return CollateralValues(maintenance, initial)


def cut_labels(model: CrossMarginModel, form: CutForm = "expanded") -> tuple[str, ...]:
    """Return the labels of the rows of a form.

    Raises:
        TooManyCuts: more rows than a matrix has.
    """
    return _labels(model, _cuts(model, form))


def _cuts(model: CrossMarginModel, form: CutForm) -> list[tuple[Piece, ...]]:
    of = spread_pieces if form == "spread" else pieces
    found = [of(venue, float(model.credits[venue.id])) for venue in model.venues]
    return all_cuts(model, found) if form == "complete" else needed_cuts(model, found)


def _labels(model: CrossMarginModel, chosen: list[tuple[Piece, ...]]) -> tuple[str, ...]:
    # Scenario labels may be as long as row labels, so scenarios are numbered; so are cuts, where names are too many.
    return tuple(
        f"scenario {number + 1} {'/'.join(piece.name for piece in cut)}" if len(cut) <= 6 else f"{number}:{at}"
        for number in range(len(model.scenarios))
        for at, cut in enumerate(chosen)
    )


def _rows(lots: LotValues, side: Floats, chosen: list[tuple[Piece, ...]]) -> Floats:
    """Return weights of one lot, (S * cuts, I), from its profit and loss, (S, I)."""
    gain = np.array([[piece.gain for piece in cut] for cut in chosen])[:, lots.venue]
    credit = np.array([[piece.credit for piece in cut] for cut in chosen])[:, lots.venue]
    counted = np.minimum(side[:, None, :], credit * side[:, None, :])
    rows: Floats = (gain * counted).reshape(-1, side.shape[1])
    return rows
