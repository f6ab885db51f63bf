"""Cross-margin of an account in plain floating point: the figure the rows are held against.

For the institution and for tests. It evaluates the theorem of `pieces` from net and gross positions; a test solves the
transfers themselves by linear programming.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin.document import CrossMarginModel
from atomic_margin.margin.models.cross_margin.values import lot_values, pool_values
from atomic_margin.margin.models.moves import lots_of
from atomic_margin.margin.models.surplus import RowSurplus


@dataclass(frozen=True)
class CrossMargin(RowSurplus):
    """An account over its venues, S scenarios and V venues, USD. The surplus of a row is M + Σ K_v and the cash.

    Attributes:
        profit: (S, V) profit and loss of each venue, maintenance, charges and profit so far included.
        pools: (S, V) worth of each pool, maintenance.
    """

    profit: Floats
    pools: Floats


def contributions(model: CrossMarginModel, profit: Floats, pools: Floats) -> Floats:
    """Return K_v, (S, V), of venues with these profits and pools, (S, V)."""
    credit = np.array([float(model.credits[venue.id]) for venue in model.venues])
    kept = np.array([1 - float(venue.transfer_haircut) for venue in model.venues])
    limit = np.array(
        [np.inf if venue.transfer_limit is None else float(venue.transfer_limit) for venue in model.venues]
    )
    spare = pools + np.minimum(profit, credit * profit)
    least: Floats = np.minimum(np.minimum(spare, kept * spare), kept * limit)
    return least


def cross_margin(
    model: CrossMarginModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    posted: Mapping[str, Mapping[str, int]],
) -> CrossMargin:
    """Return what an account with collateral ``posted`` by pool (smallest units) has left in every scenario, unrounded.

    Raises:
        DocumentError: the documents do not fit together.
    """
    long, short = lots_of(portfolio, universe)
    pools = pool_values(model, schedule, market, posted)
    profits: dict[MarginKind, Floats] = {}
    for kind in KINDS:
        lots = lot_values(model, universe, market, kind)
        held = lots.long * long + lots.short * short
        profits[kind] = np.column_stack([held[:, lots.venue == v].sum(axis=1) for v in range(len(model.venues))])
    cash = float(portfolio.cash_against(universe))
    left = {
        kind: pools[kind].central + contributions(model, profits[kind], pools[kind].venues).sum(axis=1) + cash
        for kind in KINDS
    }
    return CrossMargin(
        labels=model.labels,
        profit=profits["maintenance"],
        pools=pools["maintenance"].venues,
        maintenance=left["maintenance"],
        initial=left["initial"],
    )
