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
from atomic_margin.margin.models.breakdown import BindingRow
from atomic_margin.margin.models.cross_margin.document import CENTRAL, CrossMarginModel
from atomic_margin.margin.models.cross_margin.values import LotValues, lot_values, pool_values
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
    pools = pool_values(model, schedule, market, posted)
    held = lots_of(portfolio, universe)
    profits = {kind: _profits(model, lot_values(model, universe, market, kind), *held) for kind in KINDS}
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


def venue_row(
    model: CrossMarginModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    posted: Mapping[str, Mapping[str, int]],
    kind: MarginKind,
) -> BindingRow:
    """Return the scenario that binds as a sum over lots and pools, on the line of every venue's K_v that is least.

    Raises:
        DocumentError: the documents do not fit together.
    """
    true = cross_margin(model, universe, market, schedule, portfolio, posted)
    row = int(true.of(kind).argmin())
    lots = lot_values(model, universe, market, kind)
    pools = pool_values(model, schedule, market, posted)[kind]
    profits = _profits(model, lots, *lots_of(portfolio, universe))[row]
    gain = np.zeros(len(model.venues))
    collateral, limits = {CENTRAL: float(pools.central[row])}, {}
    for number, venue in enumerate(model.venues):
        credit = float(model.credits[venue.id]) if profits[number] > 0 else 1.0
        kept = 1 - float(venue.transfer_haircut)
        pool = float(pools.venues[row, number])
        spare = pool + credit * float(profits[number])
        share = kept if spare > 0 else 1.0
        if venue.transfer_limit is not None and kept * float(venue.transfer_limit) < share * spare:
            limits[f"transfer limit of {venue.id}"] = kept * float(venue.transfer_limit)
            share = 0.0
        gain[number] = share * credit
        collateral[venue.id] = share * pool
    of = gain[lots.venue]
    return BindingRow(
        label=model.labels[row],
        long=of * lots.long[row],
        short=of * lots.short[row],
        collateral=collateral,
        constants=limits,
    )


def _profits(model: CrossMarginModel, lots: LotValues, long: Floats, short: Floats) -> Floats:
    """Return P_v, (S, V), of a book."""
    held = lots.long * long + lots.short * short
    return np.column_stack([held[:, lots.venue == v].sum(axis=1) for v in range(len(model.venues))])
