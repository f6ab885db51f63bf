"""The collateral schedule as a document: haircuts, concentration tiers, eligibility; and holdings.

A schedule is published, versioned and named by hash. It prices ticks from `effective_from` on. Ledger quantities are
integers of 10^-decimals.

>>> tier = {"above": "0", "up_to": "1000000", "percent": "100"}
>>> usdc = {"id": "USDC", "kind": "stablecoin", "decimals": "6", "haircut": "0.02", "priority": "1", "tiers": [tier],
...         "price_source": {"quote": "collateral", "id": "USDC"}}
>>> schedule = CollateralSchedule.parse({"format": "atomic-margin/collateral-schedule/2", "version": "1",
...                                      "effective_from": "2026-11-01T00:00:00Z", "assets": [usdc]})
>>> schedule.by_id["USDC"].tier_table.lines
(Line(percent=100, base=0), Line(percent=0, base=100000000))
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument, NegativeHolding, OutOfRange
from atomic_margin.documents.strict import (
    MAX_QUANTITY,
    Document,
    Identifier,
    IdMap,
    Instant,
    Label,
    NonEmptyListOf,
    Part,
    Quantity,
    format_instant,
    in_range,
    integer_in,
    require_unique,
)
from atomic_margin.margin.collateral.dated import Dated, due
from atomic_margin.margin.collateral.moves import SpotMoves
from atomic_margin.margin.collateral.tiers import NO_LIMIT, Tier, TierTable
from atomic_margin.margin.errors import (
    IneligibleAsset,
    ScheduleNotInForce,
    UnknownAsset,
    UnknownUnderlying,
    UnpricedAsset,
)
from atomic_margin.margin.market.market import Market


class AssetPriceSource(Part):
    """Where an asset's price stands: the spot of an underlying, the collateral price of an asset, or its accrual."""

    quote: Literal["spot", "collateral", "accrual"]
    id: Identifier


class ConcentrationTier(Part):
    """One band of an asset's value, of which only a percentage counts; see `tiers`.

    Attributes:
        above: lower bound, whole USD; 0 in the first band, else the bound of the band before.
        up_to: upper bound, whole USD; absent for no limit.
        percent: 0 to 100, never more than in the band before.
    """

    above: Annotated[int, integer_in(0, NO_LIMIT)]
    up_to: Annotated[int, integer_in(0, NO_LIMIT)] | None = None
    percent: Annotated[int, integer_in(0, 100)]


class Eligibility(Part):
    """Whether an asset is taken, and when it counts.

    Attributes:
        status: `accepted`; `closed`: what is there counts, no more is taken; `excluded`: it counts for nothing, no more
            is taken.
        reason: why it is not accepted; absent when it is.
        counts_from: time of the prices from which on it counts.
        counts_until: time of the prices up to which it counts, such as a maturity.
    """

    status: Literal["accepted", "closed", "excluded"]
    reason: Label | None = None
    counts_from: Instant | None = None
    counts_until: Instant | None = None

    def counts_at(self, instant: datetime) -> bool:
        """Return whether the asset counts under prices of ``instant``."""
        return (
            self.status != "excluded"
            and (self.counts_from is None or self.counts_from <= instant)
            and (self.counts_until is None or instant <= self.counts_until)
        )


class Asset(Part):
    """One asset of the schedule.

    Attributes:
        id: identifier of the asset.
        kind: what it is; informative.
        decimals: the ledger counts units of 10^-decimals.
        haircut: fraction of the credited value that does not count, at least 0 and below 1.
        price_source: where its price is.
        risk_underlying: underlying whose spot moves it in scenarios, or null for none.
        priority: assets with lower numbers are transferred first; each has its own.
        tiers: concentration tiers on its market value; absent: all of it is credited.
        eligibility: absent: accepted at any time.
        dated: when it ends, and in what; absent: it does not.
    """

    id: Identifier
    kind: Literal["cash", "crypto", "money_market_fund", "repo", "stablecoin", "treasury_bill"]
    decimals: Annotated[int, integer_in(0, 8)]
    haircut: Annotated[Decimal, in_range("0", "1", below=True)]
    price_source: AssetPriceSource
    risk_underlying: Identifier | None = None
    priority: Annotated[int, integer_in(0, 10**6)]
    tiers: NonEmptyListOf[ConcentrationTier] | None = None
    eligibility: Eligibility | None = None
    dated: Dated | None = None

    @cached_property
    def tier_table(self) -> TierTable:
        """The tiers as a table; without tiers, one band of 100 % that has no limit."""
        if self.tiers is None:
            return TierTable((Tier(0, None, 100),))
        return TierTable(tuple(Tier(tier.above, tier.up_to, tier.percent) for tier in self.tiers))

    def counts_at(self, instant: datetime) -> bool:
        """Return whether the asset counts under prices of ``instant``."""
        return self.eligibility is None or self.eligibility.counts_at(instant)

    def has_matured(self, instant: datetime) -> bool:
        """Return whether it has ended under prices of ``instant``."""
        return self.dated is not None and self.dated.has_matured(instant)

    def at(self, instant: datetime) -> "Asset":
        """Return the asset with the haircut of its tenor under prices of ``instant``."""
        haircut = self.haircut if self.dated is None else self.dated.haircut_at(instant, self.haircut)
        return self if haircut == self.haircut else self.changed({"haircut": haircut})

    def price_in(self, market: Market) -> Fraction | None:
        """Return USD of a whole unit, before tiers and haircut; None where the market does not price it."""
        source = self.price_source
        if source.quote == "accrual":
            accrual = None if self.dated is None else self.dated.accrual
            return None if accrual is None else accrual.price_at(market.as_of)
        if source.quote == "spot":
            underlying = market.underlyings.get(source.id)
            return None if underlying is None else Fraction(underlying.spot)
        price = market.collateral.get(source.id)
        return None if price is None else Fraction(price)


class CollateralSchedule(Document):
    """What counts as collateral and for how much, format ``atomic-margin/collateral-schedule/2``, or 3 with dates.

    Attributes:
        version: of this schedule, rising as it is republished; informative, the hash is what is pinned.
        effective_from: it values no prices of an earlier time.
        assets: at least one.
    """

    TAG: ClassVar[str] = "collateral-schedule"

    format: Literal["atomic-margin/collateral-schedule/2", "atomic-margin/collateral-schedule/3"]
    version: Annotated[int, integer_in(0, 2**63 - 1)]
    effective_from: Instant
    assets: NonEmptyListOf[Asset]

    @model_validator(mode="after")
    def _check(self) -> "CollateralSchedule":
        require_unique((item.id for item in self.assets), "assets[{}].id".format)
        require_unique((item.priority for item in self.assets), "assets[{}].priority".format)
        for index, asset in enumerate(self.assets):
            if asset.tiers is not None:
                bands = tuple(Tier(tier.above, tier.up_to, tier.percent) for tier in asset.tiers)
                TierTable(bands, f"assets[{index}].tiers")
            if asset.eligibility is not None:
                _check_eligibility(asset.eligibility, f"assets[{index}].eligibility")
            self._check_dated(asset, f"assets[{index}]")
        return self

    def _check_dated(self, asset: Asset, field: str) -> None:
        if (asset.price_source.quote == "accrual") != (asset.dated is not None and asset.dated.accrual is not None):
            raise MalformedDocument(
                f"{field}.price_source.quote", "`accrual` goes with an accrual, and with nothing else"
            )
        if asset.dated is None:
            if asset.kind == "repo":
                raise MalformedDocument(f"{field}.dated", "missing: a repo leg has an end")
            return
        if self.format != "atomic-margin/collateral-schedule/3":
            raise MalformedDocument(
                f"{field}.dated", "assets with an end take format atomic-margin/collateral-schedule/3"
            )
        if asset.risk_underlying is not None:
            raise MalformedDocument(f"{field}.risk_underlying", "what ends in cash has no risk on an underlying")
        cash = self.by_id.get(asset.dated.pays)
        if cash is None or cash.dated is not None or cash.risk_underlying is not None:
            raise MalformedDocument(f"{field}.dated.pays", "an asset of the schedule without an end and without risk")
        if asset.dated.haircuts and asset.dated.haircuts[-1].haircut > asset.haircut:
            raise OutOfRange(f"{field}.haircut", "at least that of the longest tenor: it counts for longer ones")
        accrual, payoff = asset.dated.accrual, self.payoffs[asset.id]
        if accrual is not None and accrual.price_at(asset.dated.matures) > payoff:
            raise OutOfRange(
                f"{field}.dated.accrual.rate", f"more than the {payoff} that a whole unit pays would accrue"
            )

    @cached_property
    def by_id(self) -> dict[str, Asset]:
        """Assets by identifier."""
        return {item.id: item for item in self.assets}

    @cached_property
    def dated(self) -> dict[str, Dated]:
        """Assets that end, by identifier."""
        return {item.id: item.dated for item in self.assets if item.dated is not None}

    def due(self, instant: datetime, holdings: Mapping[str, int]) -> Mapping[str, int]:
        """Return holdings under prices of ``instant``, with what has matured as the cash that is due."""
        if not self.dated:
            return holdings
        # What is excluded, or counts no more, does not come back by its end.
        ended = {name for name in holdings if self.by_id[name].has_matured(instant)}
        lost = {name for name in ended if not self.by_id[name].counts_at(instant)}
        return due(self.dated, instant, {name: units for name, units in holdings.items() if name not in lost})

    @cached_property
    def payoffs(self) -> dict[str, Fraction]:
        """What a whole unit of each asset that ends pays, whole units of its cash: it is worth so many USD at most."""
        return {
            name: Fraction(dated.quantity * 10 ** self.by_id[name].decimals, 10 ** self.by_id[dated.pays].decimals)
            for name, dated in self.dated.items()
        }


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


def check_schedule(schedule: CollateralSchedule, moves: SpotMoves, market: Market) -> None:
    """Make sure ``schedule`` is in force, and every asset that counts is priced by ``market`` and moved by ``moves``.

    Raises:
        ScheduleNotInForce: the market is of a time before `effective_from`.
        UnpricedAsset: the price source is not in the market.
        UnknownUnderlying: a row does not move the asset's risk underlying.
    """
    if market.as_of < schedule.effective_from:
        raise ScheduleNotInForce(
            "effective_from",
            f"the schedule is in force from {format_instant(schedule.effective_from)}, the market is of "
            f"{format_instant(market.as_of)}: use the schedule before it",
        )
    for index, asset in enumerate(schedule.assets):
        if not asset.counts_at(market.as_of) or asset.has_matured(market.as_of):
            continue
        source = asset.price_source
        if asset.price_in(market) is None:
            field = f"underlyings.{source.id}.spot" if source.quote == "spot" else f"collateral.{source.id}"
            raise UnpricedAsset(field, f"missing in the market; collateral {asset.id!r} needs it")
        if asset.risk_underlying and any(asset.risk_underlying not in spot for spot in moves.spot):
            raise UnknownUnderlying(
                f"assets[{index}].risk_underlying", f"not every scenario of the model moves {asset.risk_underlying!r}"
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


def check_accepted(schedule: CollateralSchedule, name: str, as_of: datetime | None = None) -> None:
    """Make sure more of an asset may be deposited or posted, by prices of a time if there are some.

    Raises:
        UnknownAsset: the schedule does not have it.
        IneligibleAsset: it is closed or excluded, or has matured.
    """
    check_holdings(schedule, {name: 0})
    eligibility = schedule.by_id[name].eligibility
    if eligibility is not None and eligibility.status != "accepted":
        raise IneligibleAsset(
            name, f"no more of it is taken ({eligibility.status}: {eligibility.reason}); bring another asset"
        )
    if as_of is not None and schedule.by_id[name].has_matured(as_of):
        raise IneligibleAsset(name, "it has matured: bring the cash that it pays")


def _check_eligibility(eligibility: Eligibility, field: str) -> None:
    if (eligibility.reason is None) != (eligibility.status == "accepted"):
        raise MalformedDocument(f"{field}.reason", "say why an asset is closed or excluded, and only then")
    if (
        eligibility.counts_from is not None
        and eligibility.counts_until is not None
        and eligibility.counts_until < eligibility.counts_from
    ):
        raise OutOfRange(f"{field}.counts_until", "not before counts_from")
