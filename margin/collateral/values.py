"""What holdings are worth in every scenario: haircut, concentration tiers and eligibility applied.

All values are fractions, without rounding; they become floats only at the end of `collateral_values`, rounded down
once. In scenario s a quantity of an asset that counts has the market value

    maintenance    v = quantity * price * (1 + coverage * spot move)
    initial        v = quantity * price * max(0, 1 + initial factor * coverage * spot move)

(no spot move for an asset without risk on an underlying), and is worth (1 - haircut) * credit(v), with credit the rule
of its concentration tiers (`tiers`). An asset that does not count at the time of the prices is worth nothing.

An owner's pools are credited together, since it is one owner who would have to sell: of a holding of value v of which a
pool has the quantity q_p out of q,

    worth of the pool  =  (1 - haircut) * credit(v) * q_p / q

so the pools come to what one pool would be worth, and splitting a holding gains nothing. As credit is concave and
nothing at 0, more of an asset in one pool never makes that pool worth less, but its siblings never more either.

>>> from decimal import Decimal
>>> tiers = [{"above": "0", "up_to": "100", "percent": "100"}, {"above": "100", "percent": "50"}]
>>> usdc = {"id": "USDC", "kind": "stablecoin", "decimals": "0", "haircut": "0", "priority": "1", "tiers": tiers,
...         "price_source": {"quote": "collateral", "id": "USDC"}}
>>> schedule = CollateralSchedule.parse({"format": "atomic-margin/collateral-schedule/2", "version": "1",
...                                      "effective_from": "2026-01-01T00:00:00Z", "assets": [usdc]})
>>> market = Market.parse({"format": "atomic-margin/market/1", "sequence": "1", "as_of": "2026-11-20T08:00:00Z",
...                        "rate": "0", "underlyings": {}, "collateral": {"USDC": "1"}})
>>> moves = SpotMoves.full(("now",), ({},), Decimal(1))
>>> pools = pool_collateral_values(schedule, moves, market, {"one": {"USDC": 150}, "other": {"USDC": 50}})
>>> [float(pool.maintenance[0]) for pool in pools.values()]          # 200 of it are worth 150
[112.5, 37.5]
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
    return pool_collateral_values(schedule, moves, market, {"": holdings})[""]


def pool_collateral_values(
    schedule: CollateralSchedule, moves: SpotMoves, market: Market, pools: Mapping[str, Mapping[str, int]]
) -> dict[str, CollateralValues]:
    """Return what each of several pools of one owner is worth in each row, rounded down.

    Tiers look at all the owner holds of an asset: a pool is worth its share of the whole.

    Args:
        schedule: haircuts and tiers.
        moves: spot moves of the rows.
        market: prices.
        pools: posted quantities by asset, in smallest units, by pool.

    Raises:
        UnknownAsset, NegativeHolding, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: see
            `collateral_values`.
    """
    check_schedule(schedule, moves, market)
    whole: dict[str, int] = {}
    for holdings in pools.values():
        check_holdings(schedule, holdings)
    # What has matured is the cash that is due, and counts with all other cash.
    pools = {pool: schedule.due(market.as_of, holdings) for pool, holdings in pools.items()}
    for holdings in pools.values():
        for name, quantity in holdings.items():
            whole[name] = whole.get(name, 0) + quantity
    of_kind = {kind: _pool_values(schedule, moves, market, pools, whole, kind) for kind in KINDS}
    return {pool: CollateralValues(*(_below(of_kind[kind][pool]) for kind in KINDS)) for pool in pools}


def _pool_values(
    schedule: CollateralSchedule,
    moves: SpotMoves,
    market: Market,
    pools: Mapping[str, Mapping[str, int]],
    whole: Mapping[str, int],
    kind: MarginKind,
) -> dict[str, list[Fraction]]:
    """Return the unrounded values of pools, by pool, R rows each; ``whole`` is what they hold together."""
    of_asset = {
        name: unrounded_values(schedule, moves, market, {name: quantity}, kind) for name, quantity in whole.items()
    }
    found = {}
    for pool, holdings in pools.items():
        sums = [Fraction(0)] * len(moves)
        for name, quantity in holdings.items():
            if quantity:
                share = Fraction(quantity, whole[name])
                sums = [total + share * value for total, value in zip(sums, of_asset[name], strict=True)]
        found[pool] = sums
    return found


def _below(values: list[Fraction]) -> Floats:
    return read_only([float_below(value) for value in values])


def unrounded_values(
    schedule: CollateralSchedule, moves: SpotMoves, market: Market, holdings: Mapping[str, int], kind: MarginKind
) -> list[Fraction]:
    """Return the unrounded value of checked ``holdings`` in each of R rows, USD."""
    sums = [Fraction(0)] * len(moves)
    for name, quantity in schedule.due(market.as_of, holdings).items():
        asset = schedule.by_id[name].at(market.as_of)
        values = unit_values(asset, moves, market, kind, schedule.payoffs.get(name))
        # Rows share moves, and without risk there is one value for all of them.
        worth = {value: credited(asset, quantity * value) for value in set(values)}
        sums = [total + worth[value] for total, value in zip(sums, values, strict=True)]
    return sums


def unit_values(
    asset: Asset, moves: SpotMoves, market: Market, kind: MarginKind, payoff: Fraction | None = None
) -> list[Fraction]:
    """Return the market value of one smallest unit, USD, in each of R rows; 0 where the asset does not count.

    What ends is worth no more than its ``payoff`` before, USD of a whole unit, whatever somebody quotes.
    """
    if not asset.counts_at(market.as_of):
        return [Fraction(0)] * len(moves)
    price = asset.price_in(market)
    if price is None:
        raise TypeError("the schedule was checked against this market before")
    today = (price if payoff is None else min(price, payoff)) / 10**asset.decimals
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
    # It is one asset, or the cash that it has become.
    worth = Fraction(0)
    for one, units in schedule.due(market.as_of, {name: quantity}).items():
        worth += units * unit_values(schedule.by_id[one], now, market, "maintenance", schedule.payoffs.get(one))[0]
    return math.floor(worth)


def worth_now(schedule: CollateralSchedule, moves: SpotMoves, market: Market, holdings: Mapping[str, int]) -> Fraction:
    """Return what holdings are worth at prices as they are, after tiers and haircut, USD, unrounded.

    Args:
        schedule: eligible assets.
        moves: what the margin model says of collateral.
        market: prices.
        holdings: in smallest units by asset.

    Raises:
        UnknownAsset, NegativeHolding, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: as in
            `collateral_values`.
    """
    now = moves.now()
    check_schedule(schedule, now, market)
    check_holdings(schedule, holdings)
    return unrounded_values(schedule, now, market, holdings, "maintenance")[0]


def credited(asset: Asset, value: Fraction) -> Fraction:
    """Return what a market value of one asset, USD, is worth after tiers and haircut."""
    return (1 - Fraction(asset.haircut)) * (value if asset.tiers is None else asset.tier_table.credit(value))


def float_below(value: Fraction) -> float:
    """Return the largest float that is not above ``value``: against the holder."""
    nearest = float(value)
    return nearest if nearest <= value else math.nextafter(nearest, -math.inf)
