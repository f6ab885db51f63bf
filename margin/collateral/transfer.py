"""What a margin call moves from free to posted collateral, and the check of what was moved, all without rounding.

Concentration tiers make the value of an asset depend on how much of it is posted already, so both functions take what
was posted when the run was evaluated: the call is met when posted and moved together are worth that much more in every
row. If more was posted meanwhile, tiers being concave, the account is only better off than the proof says.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from atomic_margin.margin.collateral.moves import SpotMoves
from atomic_margin.margin.collateral.schedule import (
    Asset,
    CollateralSchedule,
    check_accepted,
    check_holdings,
    check_schedule,
)
from atomic_margin.margin.collateral.values import credited, unit_values, unrounded_values
from atomic_margin.margin.errors import BadAmount, InsufficientFreeCollateral, TransferTooSmall
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.market import Market

# A transfer is worth this much more than asked, so that recomputing c in floating point cannot lose a unit of it.
_TRANSFER_CUSHION = Fraction(1, 100)


def select_transfer(
    amount_usd: Decimal,
    free: Mapping[str, int],
    schedule: CollateralSchedule,
    moves: SpotMoves,
    market: Market,
    *,
    posted: Mapping[str, int],
) -> Mapping[str, int]:
    """Choose free collateral to move so that the value of posted collateral grows by the amount in every row.

    Assets are taken in the schedule's priority, each only as far as some row of either kind still needs it and rounded
    up to its smallest unit; one cent more than the amount is moved, so recomputing c in floating point cannot fall
    short. Assets that do not count are not moved.

    Args:
        amount_usd: the margin call, USD.
        free: free quantities by asset, in smallest units.
        schedule: eligible assets.
        moves: what the margin model says of collateral.
        market: prices of the call.
        posted: posted quantities by asset when the run was evaluated.

    Returns:
        Quantities to move by asset, in smallest units, without zeros.

    Raises:
        BadAmount: the amount is not positive and finite.
        InsufficientFreeCollateral: all free collateral together does not reach the amount in some row.
        UnknownAsset, NegativeHolding, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: as in
            `collateral_values`.
    """
    _check_inputs(amount_usd, (free, posted), schedule, moves, market)
    needed = [Fraction(amount_usd) + _TRANSFER_CUSHION] * (len(KINDS) * len(moves))
    moved: dict[str, int] = {}
    counted = schedule.due(market.as_of, posted)
    for asset in _assets(schedule, market):
        gains = _Gains(asset, counted.get(asset.id, 0), moves, market, schedule.payoffs.get(asset.id))
        quantity = gains.smallest(free.get(asset.id, 0), needed)
        if quantity:
            moved[asset.id] = quantity
            needed = [need - gains.of(row, quantity) for row, need in enumerate(needed)]
    if max(needed) > 0:
        raise InsufficientFreeCollateral(
            f"all free collateral falls {float(max(needed)):,.2f} USD short of the call of {amount_usd:,.2f} USD in "
            "its worst scenario: deliver more collateral"
        )
    return MappingProxyType(moved)


def check_transfer(
    amount_usd: Decimal,
    moved: Mapping[str, int],
    schedule: CollateralSchedule,
    moves: SpotMoves,
    market: Market,
    *,
    posted: Mapping[str, int],
) -> None:
    """Make sure ``moved`` makes ``posted`` (both in smallest units by asset) worth the amount more in every row.

    For verifiers of a settled call.

    Raises:
        TransferTooSmall: naming the first row that falls short.
        BadAmount, UnknownAsset, NegativeHolding, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: as
            in `select_transfer`.
    """
    _check_inputs(amount_usd, (moved, posted), schedule, moves, market)
    after = {name: posted.get(name, 0) + moved.get(name, 0) for name in {*posted, *moved}}
    for kind in KINDS:
        have = unrounded_values(schedule, moves, market, posted, kind)
        get = unrounded_values(schedule, moves, market, after, kind)
        for label, before, then in zip(moves.labels, have, get, strict=True):
            if then - before < Fraction(amount_usd):
                raise TransferTooSmall(
                    f"the transfer is worth {float(then - before):,.2f} USD in {kind} row {label!r}, the call is of "
                    f"{amount_usd:,.2f} USD: move more"
                )


def check_substitution(
    taken: Mapping[str, int],
    given: Mapping[str, int],
    schedule: CollateralSchedule,
    moves: SpotMoves,
    market: Market,
    *,
    posted: Mapping[str, int],
) -> None:
    """Make sure that ``posted`` is worth no less in any row of both kinds once ``given`` is there and ``taken`` is not.

    All in smallest units by asset. Tiers count what stays posted beside it, so more of an asset that is posted already
    may be worth less than its price.

    Raises:
        TransferTooSmall: naming the first row that falls short.
        NegativeHolding: more is taken than is posted.
        IneligibleAsset: no more of it is taken, or it has matured.
        UnknownAsset, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: as in `collateral_values`.
    """
    after = {name: posted.get(name, 0) - taken.get(name, 0) + given.get(name, 0) for name in {*posted, *taken, *given}}
    check_schedule(schedule, moves, market)
    for held in (posted, taken, given, after):
        check_holdings(schedule, held)
    for name in given:
        # What is due may never be paid, and is not given for what is there.
        check_accepted(schedule, name, market.as_of)
    for kind in KINDS:
        have = unrounded_values(schedule, moves, market, posted, kind)
        get = unrounded_values(schedule, moves, market, after, kind)
        for label, before, then in zip(moves.labels, have, get, strict=True):
            if then < before:
                raise TransferTooSmall(
                    f"what is given is worth {float(before - then):,.2f} USD less than what is taken in {kind} row "
                    f"{label!r}: give more"
                )


def select_return(
    amount_usd: Decimal,
    posted: Mapping[str, int],
    schedule: CollateralSchedule,
    moves: SpotMoves,
    market: Market,
) -> Mapping[str, int]:
    """Choose posted collateral to give back that is worth at most the amount in every row of both kinds.

    Assets are taken in the reverse of the schedule's priority: an institution delivers by that, and would have back
    first what it would deliver last. Each is taken as far as the amount goes, rounded down to its smallest unit, and
    one cent stays, so recomputing c in floating point cannot fall short. What does not count is given back whole.

    Args:
        amount_usd: what may leave, USD.
        posted: posted quantities by asset, in smallest units.
        schedule: eligible assets.
        moves: what the margin model says of collateral.
        market: prices.

    Returns:
        Quantities to give back by asset, in smallest units, without zeros; nothing if no unit is worth as little.

    Raises:
        BadAmount: the amount is not positive and finite.
        UnknownAsset, NegativeHolding, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: as in
            `collateral_values`.
    """
    _check_inputs(amount_usd, (posted,), schedule, moves, market)
    left = [Fraction(amount_usd) - _TRANSFER_CUSHION] * (len(KINDS) * len(moves))
    taken: dict[str, int] = {}
    counted = schedule.due(market.as_of, posted)
    for asset in reversed(_assets(schedule, market)):
        losses = _Losses(asset, counted.get(asset.id, 0), moves, market, schedule.payoffs.get(asset.id))
        quantity = min(losses.largest(left), posted.get(asset.id, 0))
        if quantity > 0:
            taken[asset.id] = quantity
            left = [amount - losses.of(row, quantity) for row, amount in enumerate(left)]
    return MappingProxyType(taken)


class _Losses:
    """How much the value of one asset falls in each row of both kinds when some of it is no longer posted."""

    def __init__(self, asset: Asset, posted: int, moves: SpotMoves, market: Market, payoff: Fraction | None) -> None:
        self._asset, self._posted = asset, posted
        self._units = [value for kind in KINDS for value in unit_values(asset, moves, market, kind, payoff)]
        self._before = [credited(asset, posted * unit) for unit in self._units]

    def of(self, row: int, quantity: int) -> Fraction:
        """Return the loss in one row, USD."""
        return self._before[row] - credited(self._asset, (self._posted - quantity) * self._units[row])

    def largest(self, left: list[Fraction]) -> int:
        """Return the largest quantity by which no row loses more than it has left."""
        found = self._posted
        for row, amount in enumerate(left):
            kept = self._before[row] - max(amount, Fraction(0))
            if kept > 0:
                value = self._asset.tier_table.least_value(kept / (1 - Fraction(self._asset.haircut)))
                found = min(found, self._posted - math.ceil(value / self._units[row]))
        return found


class _Gains:
    """How much the value of one asset grows in each row of both kinds when more of it is posted."""

    def __init__(self, asset: Asset, posted: int, moves: SpotMoves, market: Market, payoff: Fraction | None) -> None:
        self._asset, self._posted = asset, posted
        self._units = [value for kind in KINDS for value in unit_values(asset, moves, market, kind, payoff)]
        self._before = [credited(asset, posted * unit) for unit in self._units]

    def of(self, row: int, quantity: int) -> Fraction:
        """Return the gain in one row, USD."""
        return credited(self._asset, (self._posted + quantity) * self._units[row]) - self._before[row]

    def smallest(self, free: int, needed: list[Fraction]) -> int:
        """Return the smallest quantity that gives every row what it needs, or all it can get from ``free``."""
        enough = 0
        for row, need in enumerate(needed):
            target = min(need, self.of(row, free))
            if target > 0:
                credit = (self._before[row] + target) / (1 - Fraction(self._asset.haircut))
                value = self._asset.tier_table.least_value(credit)
                enough = max(enough, math.ceil(value / self._units[row]) - self._posted)
        return enough


def _assets(schedule: CollateralSchedule, market: Market) -> list[Asset]:
    """Return what may move, by priority, each with the haircut of its tenor: not what has matured and is to be paid."""
    live = (asset.at(market.as_of) for asset in schedule.assets if not asset.has_matured(market.as_of))
    return sorted(live, key=lambda asset: asset.priority)


def _check_inputs(
    amount_usd: Decimal,
    quantities: tuple[Mapping[str, int], ...],
    schedule: CollateralSchedule,
    moves: SpotMoves,
    market: Market,
) -> None:
    if not amount_usd.is_finite() or amount_usd <= 0:
        raise BadAmount(f"a transfer is a positive amount of USD, got {amount_usd}")
    check_schedule(schedule, moves, market)
    for held in quantities:
        check_holdings(schedule, held)
