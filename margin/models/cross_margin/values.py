"""Profit and loss of venues and worth of their pools in every scenario: what every form of cross-margin starts from.

For the other modules of this package. Amounts are USD; S scenarios, I instruments, V venues.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.collateral import CollateralSchedule, pool_collateral_values
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin.document import CENTRAL, CrossMarginModel, check_pools, check_venues
from atomic_margin.margin.models.moves import revalue_moves


@dataclass(frozen=True)
class LotValues:
    """What one lot adds to its venue, USD.

    Attributes:
        long: (S, I) profit and loss of a long lot, charge and profit so far included.
        short: (S, I) likewise of a short lot.
        venue: (I,) index of the instrument's venue.
    """

    long: Floats
    short: Floats
    venue: npt.NDArray[np.int64]


@dataclass(frozen=True)
class PoolValues:
    """Worth of the pools after haircut, USD.

    Attributes:
        venues: (S, V).
        central: (S,).
    """

    venues: Floats
    central: Floats


def lot_values(model: CrossMarginModel, universe: Universe, market: Market, kind: MarginKind) -> LotValues:
    """Return the profit and loss of single lots in every scenario.

    Raises:
        UnknownInstrument, MalformedDocument: see `document.check_venues`.
        DocumentError: market, universe and scenarios do not fit together.
    """
    check_venues(model, universe)
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    factor = float(model.initial_factor) if kind == "initial" else 1.0
    coverage = np.array([[float(item.coverage)] for item in model.scenarios])
    moved = factor * coverage * values.gain
    at = {name: number for number, venue in enumerate(model.venues) for name in venue.instruments}
    return LotValues(
        long=moved + values.profit - factor * values.charge_long,
        short=-moved - values.profit - factor * values.charge_short,
        venue=np.array([at[item.id] for item in universe.instruments], dtype=np.int64),
    )


def pool_values(
    model: CrossMarginModel,
    schedule: CollateralSchedule,
    market: Market,
    posted: Mapping[str, Mapping[str, int]],
) -> dict[MarginKind, PoolValues]:
    """Return what each pool is worth in every scenario, for both kinds of margin; tiers look at all pools together.

    Args:
        model: the margin model.
        schedule: haircuts.
        market: prices.
        posted: quantities in smallest units by asset, by pool.

    Raises:
        UnknownVenue: a pool of no venue of the model.
        UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: see `collateral.collateral_values`.
    """
    check_pools(model, posted)
    names = (*(venue.id for venue in model.venues), CENTRAL)
    worth = pool_collateral_values(schedule, model.spot_moves, market, {name: posted.get(name, {}) for name in names})
    kinds: tuple[MarginKind, MarginKind] = ("maintenance", "initial")
    return {
        kind: PoolValues(
            venues=np.column_stack([worth[venue.id].of(kind) for venue in model.venues]),
            central=worth[CENTRAL].of(kind),
        )
        for kind in kinds
    }
