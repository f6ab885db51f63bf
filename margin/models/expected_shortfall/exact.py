"""Expected shortfall with slack, exact: the rows of Rockafellar & Uryasev, for the sufficiency proof.

Operator, agent and verifier compile them; the institution alone solves for the slack. For losses L_s of S equally
likely moves and a tail of k = p/q moves (Rockafellar & Uryasev, "Optimization of conditional value-at-risk", Journal of
Risk 2 (2000), 21-41),

    ES(L) = min over t, v of  t + Σ_s v_s      with   v_s >= 0   and   p v_s >= q (L_s - t)

attained at t = value at risk and v_s = (L_s - t)+ / k. Written as rows, with t = t⁺ - t⁻ because value at risk may be
negative,

    margin row            profit - charges + collateral - t⁺ + t⁻ - Σ_s v_s  >=  0
    validity row of s     q (gain_s + collateral gain_s) + q t⁺ - q t⁻ + p v_s  >=  0

Whatever slack satisfies the validity rows, t + Σ v_s is at least ES(L), so the margin row is at most the true surplus:
dishonest slack only makes an account look worse. v is scaled by q/p to keep the larger number p out of A and c, whose
validity rows grow by q alone. t⁻ is capped, in USD: nothing else bounds it. An account whose value at risk is a gain
beyond the cap is treated as if it were the cap, which lowers its excess and never raises it.

    rows = compile_exact_weights(model, universe, market)
    collateral = exact_collateral(model, schedule, market, posted)
    run = compile_exact(rows.spread(entry_map), collateral, entry_map, gross_limit)    # `margin.rows.slack_rounding`
    u = tail_slack(run.maintenance, z)                                      # the institution
"""

from collections.abc import Mapping

import numpy as np

from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues
from atomic_margin.margin.errors import MatrixMismatch
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.expected_shortfall.document import MARGIN_ROW, ExpectedShortfallModel
from atomic_margin.margin.models.expected_shortfall.reference import collateral_moves
from atomic_margin.margin.models.moves import revalue_moves
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rows import Rows, Slack
from atomic_margin.margin.rows.slack_matrix import ExactMatrix
from atomic_margin.margin.rows.weights import lot_weights

# USD. A power of two, so that it is a whole number of units; small beside the collateral of an account worth margining.
GAIN_CAP = 2.0**20
# Columns of t⁺ and t⁻; those of v follow.
_UP, _DOWN, _FIRST = 0, 1, 2


def compile_exact_weights(
    model: ExpectedShortfallModel, universe: Universe, market: Market, *, gain_cap: float = GAIN_CAP
) -> Rows:
    """Compile the margin row and S validity rows in single lots, with 2 + S slack values; R = 1 + S.

    Args:
        model: the margin model.
        universe: the instruments.
        market: prices of the tick.
        gain_cap: the largest t⁻, USD.

    Raises:
        DocumentError: the documents do not fit together.
        OffsettingPairGain, NonFiniteWeight: see `model.compile_weights`.
    """
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    p, q, moves = model.depth.numerator, model.depth.denominator, len(model.scenarios)

    def weights(factor: float) -> tuple[Floats, Floats]:
        gain = q * factor * values.gain
        long = np.vstack([values.profit - factor * values.charge_long, gain])
        short = np.vstack([-values.profit - factor * values.charge_short, -gain])
        return long, short

    slack = np.zeros((1 + moves, _FIRST + moves), dtype=np.int64)
    slack[0, _UP], slack[0, _DOWN], slack[0, _FIRST:] = -1, 1, -1
    slack[1:, _UP], slack[1:, _DOWN], slack[1:, _FIRST:] = q, -q, p * np.eye(moves, dtype=np.int64)
    return Rows(
        weights=lot_weights(
            universe,
            model.hash(),
            (MARGIN_ROW, *model.labels),
            weights(1.0),
            weights(float(model.initial_factor)),
        ),
        slack=Slack(
            labels=("t+", "t-", *(f"tail {index + 1}" for index in range(moves))),
            maintenance=slack,
            initial=slack,
            validity=np.arange(1 + moves) > 0,
            caps=np.array([np.inf, gain_cap, *[np.inf] * moves]),
        ),
    )


def exact_collateral(
    model: ExpectedShortfallModel, schedule: CollateralSchedule, market: Market, holdings: Mapping[str, int]
) -> CollateralValues:
    """Return c of the exact rows, USD, (1 + S,): collateral after haircut now, then q times its gain under each move.

    Raises:
        UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: see `collateral.collateral_values`.
    """
    now, gains = collateral_moves(model, schedule, market, holdings)
    q = model.depth.denominator
    return CollateralValues(np.concatenate([[now], q * gains.maintenance]), np.concatenate([[now], q * gains.initial]))


def tail_slack(matrix: ExactMatrix, z: Integers) -> Integers:
    """Return the slack that leaves most surplus, int64 of shape (2 + S,): t at value at risk, v at what lies beyond.

    Value at risk is one of the losses, an order statistic; since v is whole units, its neighbours are tried too.

    Args:
        matrix: exact matrix of one kind, from `compile_exact`.
        z: the portfolio vector.

    Raises:
        EntryOutOfRange: ``z`` is no vector of the matrix.
        MatrixMismatch: the matrix is not of this model's form.
    """
    if len(matrix.slack_labels) != matrix.matrix.rows + 1 or matrix.slack_labels[:_FIRST] != ("t+", "t-"):
        raise MatrixMismatch("the exact rows of an expected-shortfall model are wanted here")
    losses = -matrix.matrix.surplus(z)[1:]
    p, q = int(matrix.slack[1, _FIRST]), int(matrix.slack[1, _UP])
    at = int(np.sort(losses)[::-1][min(p // q, len(losses) - 1)]) // q
    lowest = 1 - (1 << matrix.slack_widths[_DOWN])
    tried = [max(at + step, lowest) for step in range(-1, 3)]
    beyond = [-(np.minimum(q * t - losses, 0) // p) for t in tried]
    best = int(np.argmin([t + int(v.sum()) for t, v in zip(tried, beyond, strict=True)]))
    t = tried[best]
    return np.concatenate([[max(t, 0), max(-t, 0)], beyond[best]]).astype(np.int64)
