"""Collateral on the operator's ledger: its value after haircut in every scenario, and what to move for a margin call.

For the operator and for everyone who recomputes c. Ledger quantities are integers of 10^-decimals. All values here are
exact fractions; they become floats only in `collateral_values`, rounded once. In scenario s an asset with risk on an
underlying is worth

    maintenance    quantity * price * (1 - haircut) * (1 + coverage * spot move)
    initial        quantity * price * (1 - haircut) * max(0, 1 + initial factor * coverage * spot move)

and an asset without is worth quantity * price * (1 - haircut) in every scenario.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from atomic_margin.margin.documents import (
    MAX_QUANTITY,
    Document,
    Identifier,
    IdMap,
    NonEmptyListOf,
    Part,
    Quantity,
    in_range,
    integer_in,
    require_unique,
)
from atomic_margin.margin.errors import (
    BadAmount,
    InsufficientFreeCollateral,
    NegativeHolding,
    NonFiniteWeight,
    OutOfRange,
    TransferTooSmall,
    UnknownAsset,
    UnknownUnderlying,
    UnpricedAsset,
)
from atomic_margin.margin.market import Market
from atomic_margin.margin.model import KINDS, MarginKind, read_only
from atomic_margin.margin.pricing import Floats
from atomic_margin.margin.scenarios import ScanModel

# A transfer is worth this much more than asked, so that recomputing c in floating point cannot lose a unit of it.
_TRANSFER_CUSHION = Fraction(1, 100)


class PriceSource(Part):
    """Where an asset's price stands in the market: the spot of an underlying, or the collateral price of an asset."""

    quote: Literal["spot", "collateral"]
    id: Identifier


class Asset(Part):
    """One eligible asset.

    Attributes:
        id: identifier of the asset.
        kind: what it is; informative.
        decimals: the ledger counts units of 10^-decimals.
        haircut: fraction of the price that does not count, at least 0 and below 1.
        price_source: where its price is.
        risk_underlying: underlying whose spot moves it in scenarios, or null for none.
        priority: assets with lower numbers are transferred first; each has its own.
    """

    id: Identifier
    kind: Literal["cash", "crypto", "money_market_fund", "stablecoin", "treasury_bill"]
    decimals: Annotated[int, integer_in(0, 8)]
    haircut: Annotated[Decimal, in_range("0", "1", below=True)]
    price_source: PriceSource
    risk_underlying: Identifier | None = None
    priority: Annotated[int, integer_in(0, 10**6)]


class CollateralSchedule(Document):
    """Eligible collateral, format ``atomic-margin/collateral-schedule/1``."""

    TAG: ClassVar[str] = "collateral-schedule"

    format: Literal["atomic-margin/collateral-schedule/1"]
    version: Annotated[int, integer_in(0, 2**63 - 1)]
    assets: NonEmptyListOf[Asset]

    @model_validator(mode="after")
    def _check(self) -> "CollateralSchedule":
        require_unique((item.id for item in self.assets), "assets[{}].id".format)
        require_unique((item.priority for item in self.assets), "assets[{}].priority".format)
        return self

    @cached_property
    def by_id(self) -> dict[str, Asset]:
        """Assets by identifier."""
        return {item.id: item for item in self.assets}


class CollateralHoldings(Document):
    """An account's ledger collateral, format ``atomic-margin/collateral-holdings/1``.

    Attributes:
        posted: integers of 10^-decimals by asset; they count towards margin.
        free: likewise; they do not count until transferred.
    """

    TAG: ClassVar[str] = "collateral-holdings"

    format: Literal["atomic-margin/collateral-holdings/1"]
    posted: IdMap[Quantity]
    free: IdMap[Quantity]


@dataclass(frozen=True)
class CollateralValues:
    """Value of the posted collateral after haircut, USD, in each of R rows, read-only.

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


def check_schedule(schedule: CollateralSchedule, model: ScanModel, market: Market) -> None:
    """Make sure every asset of ``schedule`` is priced by ``market`` and moved by ``model``.

    Raises:
        UnpricedAsset: the price source is not in the market.
        UnknownUnderlying: a scenario does not move the asset's risk underlying.
    """
    for index, asset in enumerate(schedule.assets):
        source = asset.price_source
        if source.id not in (market.underlyings if source.quote == "spot" else market.collateral):
            field = f"underlyings.{source.id}.spot" if source.quote == "spot" else f"collateral.{source.id}"
            raise UnpricedAsset(field, f"missing in the market; collateral {asset.id!r} needs it")
        if asset.risk_underlying and any(asset.risk_underlying not in s.spot for s in model.scenarios):
            raise UnknownUnderlying(
                f"assets[{index}].risk_underlying", f"not every scenario of the model moves {asset.risk_underlying!r}"
            )


def collateral_values(
    schedule: CollateralSchedule, model: ScanModel, market: Market, holdings: Mapping[str, int]
) -> CollateralValues:
    """Return what ``holdings`` (posted quantities by asset, in smallest units) are worth in each row.

    Raises:
        UnknownAsset: an asset is not in the schedule.
        NegativeHolding: a quantity is negative.
        OutOfRange: a quantity is not a whole number, or above 10^24.
        UnpricedAsset, UnknownUnderlying: see `check_schedule`.
    """
    check_schedule(schedule, model, market)
    check_holdings(schedule, holdings)
    maintenance, initial = (
        read_only([float(value) for value in _exact_values(schedule, model, market, holdings, kind)]) for kind in KINDS
    )
    return CollateralValues(maintenance, initial)


def select_transfer(
    amount_usd: Decimal, free: Mapping[str, int], schedule: CollateralSchedule, model: ScanModel, market: Market
) -> Mapping[str, int]:
    """Choose free collateral to move so that posted value after haircut grows by the amount in every row of both kinds.

    Assets are taken in the schedule's priority, each only as far as some row still needs it and rounded up to its
    smallest unit; one cent more than the amount is moved, so recomputing c in floating point cannot fall short. All in
    exact arithmetic.

    Args:
        amount_usd: the margin call, USD.
        free: free quantities by asset, in smallest units.
        schedule: eligible assets.
        model: the margin model.
        market: prices of the call.

    Returns:
        Quantities to move by asset, in smallest units, without zeros.

    Raises:
        BadAmount: the amount is not positive and finite.
        InsufficientFreeCollateral: all free collateral together does not reach the amount in some row.
        UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: as in `collateral_values`.
    """
    _check_transfer_inputs(amount_usd, free, schedule, model, market)
    needed = [Fraction(amount_usd) + _TRANSFER_CUSHION] * (len(KINDS) * len(model.scenarios))
    moved: dict[str, int] = {}
    for asset in sorted(schedule.assets, key=lambda item: item.priority):
        values = [value for kind in KINDS for value in _unit_values(asset, model, market, kind)]
        wanted = [math.ceil(need / value) for need, value in zip(needed, values, strict=True) if need > 0 and value > 0]
        quantity = min(free.get(asset.id, 0), max(wanted, default=0))
        if quantity:
            moved[asset.id] = quantity
            needed = [need - quantity * value for need, value in zip(needed, values, strict=True)]
    if max(needed) > 0:
        raise InsufficientFreeCollateral(
            f"all free collateral falls {float(max(needed)):,.2f} USD short of the call of {amount_usd:,.2f} USD in "
            "its worst scenario: deliver more collateral"
        )
    return MappingProxyType(moved)


def check_transfer(
    amount_usd: Decimal, moved: Mapping[str, int], schedule: CollateralSchedule, model: ScanModel, market: Market
) -> None:
    """Make sure ``moved`` (quantities by asset, in smallest units) is worth the amount in every row of both kinds.

    For verifiers of a settled call; exact.

    Raises:
        TransferTooSmall: naming the first row that falls short.
        BadAmount, UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: as in `select_transfer`.
    """
    _check_transfer_inputs(amount_usd, moved, schedule, model, market)
    for kind in KINDS:
        for label, value in zip(model.labels, _exact_values(schedule, model, market, moved, kind), strict=True):
            if value < Fraction(amount_usd):
                raise TransferTooSmall(
                    f"the transfer is worth {float(value):,.2f} USD in {kind} row {label!r}, the call is of "
                    f"{amount_usd:,.2f} USD: move more"
                )


def check_holdings(schedule: CollateralSchedule, holdings: Mapping[str, int]) -> None:
    """Raise UnknownAsset, NegativeHolding or OutOfRange unless ``holdings`` are ledger quantities of ``schedule``."""
    for name, quantity in holdings.items():
        if name not in schedule.by_id:
            known = ", ".join(schedule.by_id)
            raise UnknownAsset(name, f"the collateral schedule has no such asset (there: {known})")
        if type(quantity) is not int or quantity > MAX_QUANTITY:
            raise OutOfRange(
                name, f"a whole number of 10^-{schedule.by_id[name].decimals}, at most 10^24, got {quantity!r}"
            )
        if quantity < 0:
            raise NegativeHolding(name, f"at least 0 here, got {quantity}")


def _check_transfer_inputs(
    amount_usd: Decimal, quantities: Mapping[str, int], schedule: CollateralSchedule, model: ScanModel, market: Market
) -> None:
    if not amount_usd.is_finite() or amount_usd <= 0:
        raise BadAmount(f"a transfer is a positive amount of USD, got {amount_usd}")
    check_schedule(schedule, model, market)
    check_holdings(schedule, quantities)


def _exact_values(
    schedule: CollateralSchedule, model: ScanModel, market: Market, holdings: Mapping[str, int], kind: MarginKind
) -> list[Fraction]:
    sums = [Fraction(0)] * len(model.scenarios)
    for name, quantity in holdings.items():
        values = _unit_values(schedule.by_id[name], model, market, kind)
        sums = [old + quantity * value for old, value in zip(sums, values, strict=True)]
    return sums


def _unit_values(asset: Asset, model: ScanModel, market: Market, kind: MarginKind) -> list[Fraction]:
    """Return the value after haircut of one smallest unit, USD, in each row."""
    source = asset.price_source
    price = market.underlyings[source.id].spot if source.quote == "spot" else market.collateral[source.id]
    today = Fraction(price) * (1 - Fraction(asset.haircut)) / 10**asset.decimals
    if asset.risk_underlying is None:
        return [today] * len(model.scenarios)
    factor = Fraction(model.initial_factor) if kind == "initial" else Fraction(1)
    moves = [Fraction(s.coverage) * Fraction(s.spot[asset.risk_underlying]) for s in model.scenarios]
    return [today * max(Fraction(0), 1 + factor * move) for move in moves]
