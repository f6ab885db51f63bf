"""What holdings are worth in every scenario: haircut, concentration tiers and eligibility applied.

All values are fractions, without rounding; they become floats only at the end of `collateral_values`, rounded down
once. In scenario s a quantity of an asset that counts has the market value

    maintenance    v = quantity * price * (1 + coverage * spot move)
    initial        v = quantity * price * max(0, 1 + initial factor * coverage * spot move)

(no spot move for an asset without risk on an underlying), and is worth (1 - haircut) * credit(v), with credit the rule
of its concentration tiers (`tiers`). An asset that does not count at the time of the prices is worth nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from atomic_margin.margin.collateral.moves import SpotMoves
from atomic_margin.margin.collateral.schedule import Asset, CollateralSchedule, check_holdings, check_schedule
from atomic_margin.margin.errors import NonFiniteWeight
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats, read_only


@dataclass(frozen=True)
class CollateralValues:
    """Value of the posted collateral after haircut and tiers, USD, in each of R rows, read-only.

    Attributes:
        maintenance: (R,) float64.
        initial: (R,) float64.
    """

    maintenance: Floats
    initial: Floats

    def __post_init__(self) -> None:
        for kind in KINDS:
            values = read_only(self.of(kind))
            if values.ndim != 1 or not np.isfinite(values).all():
                raise NonFiniteWeight(f"{kind} collateral values must be finite, one a row")
            object.__setattr__(self, kind, values)

    def of(self, kind: MarginKind) -> Floats:
        """Return the values of one kind."""
        return self.maintenance if kind == "maintenance" else self.initial


def collateral_values(
    schedule: CollateralSchedule, moves: SpotMoves, market: Market, holdings: Mapping[str, int]
) -> CollateralValues:
    """Return what ``holdings`` (posted quantities by asset, in smallest units) are worth in each row, rounded down.

    Raises:
        UnknownAsset: an asset is not in the schedule.
        NegativeHolding: a quantity is negative.
        OutOfRange: a quantity is not a whole number, or above 10^24.
        ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: see `check_schedule`.
    """
    check_schedule(schedule, moves, market)
    check_holdings(schedule, holdings)
    maintenance, initial = (
        read_only([_float_below(value) for value in unrounded_values(schedule, moves, market, holdings, kind)])
        for kind in KINDS
    )
    return CollateralValues(maintenance, initial)


def unrounded_values(
    schedule: CollateralSchedule, moves: SpotMoves, market: Market, holdings: Mapping[str, int], kind: MarginKind
) -> list[Fraction]:
    """Return the unrounded value of checked ``holdings`` in each of R rows, USD."""
    sums = [Fraction(0)] * len(moves)
    for name, quantity in holdings.items():
        asset = schedule.by_id[name]
        values = unit_values(asset, moves, market, kind)
        sums = [total + credited(asset, quantity * value) for total, value in zip(sums, values, strict=True)]
    return sums


def unit_values(asset: Asset, moves: SpotMoves, market: Market, kind: MarginKind) -> list[Fraction]:
    """Return the market value of one smallest unit, USD, in each of R rows; 0 where the asset does not count."""
    if not asset.counts_at(market.as_of):
        return [Fraction(0)] * len(moves)
    source = asset.price_source
    price = market.underlyings[source.id].spot if source.quote == "spot" else market.collateral[source.id]
    today = Fraction(price) / 10**asset.decimals
    if asset.risk_underlying is None:
        return [today] * len(moves)
    factor = Fraction(moves.initial_factor) if kind == "initial" else Fraction(1)
    counted = [
        Fraction(coverage) * Fraction(spot[asset.risk_underlying])
        for coverage, spot in zip(moves.coverage, moves.spot, strict=True)
    ]
    return [today * max(Fraction(0), 1 + factor * move) for move in counted]


def market_worth(schedule: CollateralSchedule, moves: SpotMoves, market: Market, name: str, quantity: int) -> int:
    """Return what a quantity is worth at its price now, before tiers and haircut, in whole USD, rounded down.

    Args:
        schedule: eligible assets.
        moves: what the margin model says of collateral.
        market: prices.
        name: of the asset; one that does not count as collateral at these prices is worth nothing.
        quantity: in its smallest unit.

    Raises:
        UnknownAsset, NegativeHolding, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: as in
            `collateral_values`.
    """
    now = moves.now()
    check_schedule(schedule, now, market)
    check_holdings(schedule, {name: quantity})
    return math.floor(quantity * unit_values(schedule.by_id[name], now, market, "maintenance")[0])


def credited(asset: Asset, value: Fraction) -> Fraction:
    """Return what a market value of one asset, USD, is worth after tiers and haircut."""
    return (1 - Fraction(asset.haircut)) * (value if asset.tiers is None else asset.tier_table.credit(value))


def _float_below(value: Fraction) -> float:
    """Return the largest float that is not above ``value``: against the holder."""
    nearest = float(value)
    return nearest if nearest <= value else math.nextafter(nearest, -math.inf)
