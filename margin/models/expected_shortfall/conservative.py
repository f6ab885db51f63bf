"""Expected shortfall without slack: a few rows that never exceed the true surplus, for circuits and for quick checks.

Operator, agent and verifier call it. One form is in use, `cover`, chosen by measured gap (the figures are in
docs/margin-expected-shortfall.md); the others are here to be measured against it, and `scenarios` serves models without
a cover. All rest on the same three facts about expected shortfall ES of a loss Σ_i z_i l_i with every z_i >= 0:

    (a) ES(X + Y) <= ES(X) + ES(Y), and ES(z X) = z ES(X) for z >= 0
    (b) ES(X) <= max_s X_s
    (c) ES(p · x) <= max over corners g of p · a_g        (`cover`, eq. 2)

**cover.** Split the loss of instrument i into what is linear in the scores and the rest, l_i = x · p_i + r_i, with
p_i = (1/S) Σ_s x_s l_si (any p_i would do; this one is the least-squares fit for orthonormal scores, without solving
anything). By (a) and (c), with side σ = +1 for long lots and -1 for short ones,

    ES(Σ z_i σ_i l_i)  <=  max over g of Σ_i z_i ( σ_i a_g · p_i + ES(σ_i r_i) )

Row g is minus that sum. A long and a short lot of one instrument together weigh -ES(r_i) - ES(-r_i) <= 0.

**scenarios.** By (b): one row for each move, the largest loss in place of the average. S rows.

**groups.** By (b) again: K groups of moves; row g takes from each instrument and side its worst move of the group.

**instruments.** By (a) alone: one row, the sum of the instruments' own expected shortfalls; no hedge counts.

Block averages, without more, would be wrong: averaging losses within blocks lowers expected shortfall (Jensen).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues
from atomic_margin.margin.market.elementary import ordered_product
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.expected_shortfall.cover import tail_average
from atomic_margin.margin.models.expected_shortfall.document import ExpectedShortfallModel
from atomic_margin.margin.models.expected_shortfall.reference import collateral_moves
from atomic_margin.margin.models.moves import revalue_moves
from atomic_margin.margin.rows.weights import TrueWeights, lot_weights

TailForm = Literal["cover", "scenarios", "groups", "instruments"]


def compile_conservative(
    model: ExpectedShortfallModel,
    universe: Universe,
    market: Market,
    *,
    form: TailForm | None = None,
    groups: Sequence[int] = (),
) -> TrueWeights:
    """Compile slack-free true weights of single lots, USD, for `compile_run`.

    Args:
        model: the margin model.
        universe: the instruments.
        market: prices of the tick.
        form: which bound; left out, `cover` if the model has one and `scenarios` if not.
        groups: for the form `groups`, the group of each move, 0 … K - 1.

    Returns:
        R rows: K corners, S moves, K groups, or one.

    Raises:
        DocumentError: the documents do not fit together; MalformedDocument if the model has no cover and one is wanted.
        OffsettingPairGain, NonFiniteWeight: see `model.compile_weights`.
    """
    chosen = form or _default(model)
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    long, short = (_bound(model, chosen, groups, sign * values.gain) for sign in (1.0, -1.0))

    def weights(factor: float) -> tuple[Floats, Floats]:
        one_long = factor * (long - values.charge_long) + values.profit
        one_short = factor * (short - values.charge_short) - values.profit
        return one_long, one_short

    labels = _labels(model, chosen, len(long))
    return lot_weights(universe, model.hash(), labels, weights(1.0), weights(float(model.initial_factor)))


def conservative_collateral(
    model: ExpectedShortfallModel,
    schedule: CollateralSchedule,
    market: Market,
    holdings: Mapping[str, int],
    *,
    form: TailForm | None = None,
    groups: Sequence[int] = (),
) -> CollateralValues:
    """Return c for the rows of `compile_conservative`: collateral now, less the bound of its own moves.

    The whole of the posted collateral takes the part of one more instrument held long.

    Raises:
        UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: see `collateral.collateral_values`.
    """
    chosen = form or _default(model)
    now, gains = collateral_moves(model, schedule, market, holdings)
    return CollateralValues(
        now + _bound(model, chosen, groups, gains.maintenance[:, None])[:, 0],
        now + _bound(model, chosen, groups, gains.initial[:, None])[:, 0],
    )


def conservative_labels(model: ExpectedShortfallModel) -> tuple[str, ...]:
    """Return the labels of the rows of the default form."""
    chosen = _default(model)
    return _labels(model, chosen, len(model.corners) if chosen == "cover" else len(model.scenarios))


def _default(model: ExpectedShortfallModel) -> TailForm:
    return "cover" if model.cover else "scenarios"


def _labels(model: ExpectedShortfallModel, form: TailForm, rows: int) -> tuple[str, ...]:
    if form == "scenarios":
        return model.labels
    return tuple(f"{form.rstrip('s') if form != 'cover' else 'corner'} {row + 1}" for row in range(rows))


def _bound(model: ExpectedShortfallModel, form: TailForm, groups: Sequence[int], gain: Floats) -> Floats:
    """Return lower bounds of gains in each row, (R, I), from the gains under each move, (S, I)."""
    depth = float(model.depth)
    if form == "scenarios":
        return gain
    if form == "instruments":
        return -tail_average(-gain, depth)[None]
    if form == "groups":
        of = np.asarray(groups)
        if of.shape != (len(gain),):
            raise MalformedDocument("groups", f"a group for each of the {len(gain)} moves is wanted")
        return np.array([gain[of == group].min(axis=0) for group in range(int(of.max()) + 1)])
    if model.cover is None:
        raise MalformedDocument("cover", "the model has none: fit one, or ask for the form `scenarios`")
    slopes = ordered_product(model.scores.T, gain) / len(gain)
    rest = gain - ordered_product(model.scores, slopes)
    bound: Floats = ordered_product(model.corners, slopes) - tail_average(-rest, depth)
    return bound
