"""Cross-margin with slack: fewer rows where venues are many, exact, for the sufficiency proof.

Operator, agent and verifier compile them; `margin.rows.least_slack` solves for the slack. For each scenario and venue
one value u >= 0 says by how much K_v is below its first line, base = P_v + C_v:

    margin row of s          M + Σ_v (P_v + C_v - u_v)  >=  0
    validity row of a line   line - base + u_v  >=  0        for every other line of K_v (`pieces`)

The least slack makes base - u_v the least line, K_v; more only lowers the margin row. S rows and S V slack values, plus
at most three validity rows for each of those: linear in the number of venues, where the expanded cuts are exponential.
"""

from collections.abc import Mapping

import numpy as np

from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues
from atomic_margin.margin.errors import TooManyCuts
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.elementary import ordered_sum
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin.document import CrossMarginModel
from atomic_margin.margin.models.cross_margin.pieces import Piece, pieces
from atomic_margin.margin.models.cross_margin.values import lot_values, pool_values
from atomic_margin.margin.rows.matrix import MAX_ROWS
from atomic_margin.margin.rows.rows import Rows, Slack
from atomic_margin.margin.rows.weights import lot_weights


def compile_exact_cross(model: CrossMarginModel, universe: Universe, market: Market) -> Rows:
    """Compile margin rows and validity rows in single lots, with their slack.

    Returns:
        S margin rows, then for each venue and each of its lines but the base S validity rows; S V slack values.

    Raises:
        DocumentError: the documents do not fit together.
        TooManyCuts: more rows than a matrix has.
        OffsettingPairGain, NonFiniteWeight: see `model.compile_weights`.
    """
    count, venues = len(model.scenarios), len(model.venues)
    lines = _lines(model)
    labels = tuple(f"scenario {s + 1}" for s in range(count)) + tuple(
        f"{number + 1} {piece.name} {s + 1}" for number, piece in lines for s in range(count)
    )
    of_lots = {kind: lot_values(model, universe, market, kind) for kind in KINDS}
    venue = of_lots["maintenance"].venue
    factor = np.vstack([np.ones(len(venue))] + [(piece.gain - 1) * (venue == v) for v, piece in lines])
    used = np.repeat(factor != 0, count, axis=0)

    def weights(kind: MarginKind) -> tuple[Floats, Floats]:
        lots = of_lots[kind]
        long, short = (
            (factor[:, None, :] * side[None, :, :]).reshape(-1, len(venue)) for side in (lots.long, lots.short)
        )
        return long, short

    slack = np.zeros((len(labels), count * venues), dtype=np.int64)
    for s in range(count):
        slack[s, s * venues : (s + 1) * venues] = -1
    for place, (number, _piece) in enumerate(lines):
        for s in range(count):
            slack[(place + 1) * count + s, s * venues + number] = 1
    return Rows(
        weights=lot_weights(
            universe, model.hash(), labels, weights("maintenance"), weights("initial"), margin_rows=count
        ),
        slack=Slack(
            labels=tuple(f"{venue.id[:40]} {s + 1}" for s in range(count) for venue in model.venues),
            maintenance=slack,
            initial=slack,
            validity=np.arange(len(labels)) >= count,
            structure=np.concatenate([used, used], axis=1),
            caps=_caps(model, lines),
        ),
    )


def exact_cross_collateral(
    model: CrossMarginModel,
    schedule: CollateralSchedule,
    market: Market,
    posted: Mapping[str, Mapping[str, int]],
) -> CollateralValues:
    """Return c for the rows of `compile_exact_cross`, USD.

    Raises:
        UnknownVenue, UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: see
            `values.pool_values`.
    """
    pools, lines = pool_values(model, schedule, market, posted), _lines(model)
    maintenance, initial = (
        np.concatenate(
            [pools[kind].central + ordered_sum(pools[kind].venues, axis=1)]
            + [(piece.pool - 1) * pools[kind].venues[:, v] + piece.constant for v, piece in lines]
        )
        for kind in KINDS
    )
    return CollateralValues(maintenance, initial)


def _lines(model: CrossMarginModel) -> list[tuple[int, Piece]]:
    """Return every line but the base, with the index of its venue."""
    found = [
        (number, piece)
        for number, venue in enumerate(model.venues)
        for piece in pieces(venue, float(model.credits[venue.id]))[1:]
    ]
    if (1 + len(found)) * len(model.scenarios) > MAX_ROWS:
        raise TooManyCuts(
            f"{len(model.scenarios)} scenarios take {(1 + len(found)) * len(model.scenarios)} rows, a matrix has at "
            f"most {MAX_ROWS}: publish fewer"
        )
    return found


def _caps(model: CrossMarginModel, lines: list[tuple[int, Piece]]) -> Floats:
    """A venue with no line but the base has no validity row and needs no slack."""
    bounded = {number for number, _ in lines}
    return np.array(
        [np.inf if number in bounded else 0.0 for number in range(len(model.venues))] * len(model.scenarios)
    )
