"""The default waterfall: who bears the loss of a default, in which order, to the last unit. Pure.

Everybody who has the close-out computes the same lines: the operator that books them, the defaulter, every member of
the fund, and a verifier.

>>> lines, uncovered = waterfall(100, "a", margin=30, contribution=10, capital=20, mutual={"b": 200, "c": 100})
>>> [(line.layer, line.institution, line.drawn) for line in lines]
[('margin', 'a', 30), ('contribution', 'a', 10), ('capital', None, 20), ('mutual', 'b', 27), ('mutual', 'c', 13)]
>>> uncovered
0
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter
from atomic_margin.documents.strict import Document, Identifier, IdMap, NonEmptyListOf, Part, Quantity, in_range
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.errors import UnknownAsset, UnpricedAsset
from atomic_margin.margin.market.market import Market

LayerName = Literal["margin", "contribution", "capital", "mutual"]
ORDER: tuple[LayerName, ...] = ("margin", "contribution", "capital", "mutual")
"""The one order: defaulter's margin, defaulter's fund contribution, operator's capital, contributions of the others."""
Discount: TypeAlias = Annotated[Decimal, in_range("0", "1", below=True)]
Share: TypeAlias = Annotated[Decimal, in_range("0", "1", above=True)]
MAX_STAGES = 256
"""Sales of one default."""
USD_DIGITS = 6
"""Decimals of a value in USD; rounded down."""


class WaterfallRules(Document):
    """How a default is worked off: published, pinned by its hash, and part of every document that rests on it.

    Attributes:
        format: of the document.
        version: of these rules, rising; informative, the hash is what is pinned.
        cash: the asset that sales bring in, contributions are in and losses are paid in.
        discounts: by how much less than the tick's price an asset may be sold, as a fraction, until it has matured; an
            asset that is not here is not sold.
        stage_share: at most this fraction of what was segregated of an asset is sold in one stage.
        capital: the operator's own, in smallest units of cash, at each default.
        order: who bears a loss, one layer after the other.
        lien: what the operator holds a lien on, so that a liquidation may take it.
    """

    TAG: ClassVar[str] = "waterfall-rules"

    format: Literal["atomic-margin/waterfall-rules/1"]
    version: Counter
    cash: Identifier
    discounts: IdMap[Discount]
    stage_share: Share
    capital: Quantity
    order: NonEmptyListOf[LayerName]
    lien: Literal["free and posted"]

    @model_validator(mode="after")
    def _check(self) -> "WaterfallRules":
        if self.order != ORDER:
            raise MalformedDocument("order", f"write {', '.join(ORDER)}: nobody pays before the defaulter")
        if self.cash in self.discounts:
            raise MalformedDocument("discounts", f"{self.cash} is the cash, which is not sold; leave it out")
        return self


class Layer(Part):
    """What one pool bears of a loss, in smallest units of cash.

    Attributes:
        layer: which one.
        institution: whose; absent for the operator's capital.
        available: what there is.
        drawn: what is taken of it.
    """

    layer: LayerName
    institution: Identifier | None = None
    available: Quantity
    drawn: Quantity


class Borne(NamedTuple):
    """How a loss is borne.

    Attributes:
        lines: in the order of the waterfall, the members of the fund by name.
        uncovered: what nobody bears.
    """

    lines: tuple[Layer, ...]
    uncovered: int


def waterfall(
    loss: int, defaulter: str, *, margin: int, contribution: int, capital: int, mutual: Mapping[str, int]
) -> Borne:
    """Return who bears a loss. Sums to the loss, and takes nothing from a layer before the one above is used up.

    Args:
        loss: in smallest units of cash.
        defaulter: name of the institution in default.
        margin: its collateral in cash, all of it.
        contribution: of its own to the fund.
        capital: the operator's.
        mutual: contributions of the others, by name; they pay in proportion, see `shares`.
    """
    lines, rest = list[Layer](), loss
    own: tuple[tuple[LayerName, str | None, int], ...] = (
        ("margin", defaulter, margin),
        ("contribution", defaulter, contribution),
        ("capital", None, capital),
    )
    for layer, institution, available in own:
        drawn = min(rest, available)
        rest -= drawn
        lines.append(_line(layer, institution, available, drawn))
    taken = shares(min(rest, sum(mutual.values())), mutual)
    lines += [_line("mutual", name, mutual[name], taken[name]) for name in sorted(mutual)]
    return Borne(tuple(lines), rest - sum(taken.values()))


def shares(amount: int, contributions: Mapping[str, int]) -> dict[str, int]:
    """Return an amount in proportion to contributions, by name: by largest remainder, and of equal ones the first name.

    Args:
        amount: at most the sum of contributions.
        contributions: by name.

    >>> shares(2, {"a": 1, "b": 1, "c": 1})
    {'a': 1, 'b': 1, 'c': 0}
    """
    total = sum(contributions.values())
    if not 0 <= amount <= total:
        raise ValueError(f"{amount} cannot be shared among contributions of {total}")
    if total == 0:
        return dict.fromkeys(sorted(contributions), 0)
    parts = {name: divmod(amount * contributions[name], total) for name in sorted(contributions)}
    left = amount - sum(whole for whole, _ in parts.values())
    first = sorted(parts, key=lambda name: (-parts[name][1], name))[:left]
    return {name: whole + (name in first) for name, (whole, _) in parts.items()}


def _line(layer: LayerName, institution: str | None, available: int, drawn: int) -> Layer:
    return Layer.model_construct(layer=layer, institution=institution, available=available, drawn=drawn)


def check_rules(rules: WaterfallRules, schedule: CollateralSchedule) -> None:
    """Make sure that rules can turn all collateral of a schedule into their cash.

    Nobody else bears a loss while something of the defaulter cannot be sold: it would come back to the defaulter, and
    what the cash does not reach would stay with the operator.

    Raises:
        MalformedDocument: an asset is not listed, or there are too few stages to sell all of each.
    """
    if rules.cash not in schedule.by_id:
        raise MalformedDocument("cash", f"the collateral schedule has no {rules.cash}")
    missing = [name for name in schedule.by_id if name != rules.cash and name not in rules.discounts]
    if missing:
        raise MalformedDocument("discounts", f"give one for {', '.join(missing)}: it could never be sold")
    stages = len(schedule.by_id) * math.ceil(1 / Fraction(rules.stage_share))
    if stages > MAX_STAGES:
        raise MalformedDocument("stage_share", f"all assets would take {stages} stages, and there are {MAX_STAGES}")


def unit_price(schedule: CollateralSchedule, market: Market, name: str) -> Fraction:
    """Return what the smallest unit of an asset costs at the prices of a tick, USD, before tiers and haircut.

    Raises:
        UnknownAsset: the schedule does not have it.
        UnpricedAsset: the market does not price it.
    """
    asset = schedule.by_id.get(name)
    if asset is None:
        raise UnknownAsset(name, f"the collateral schedule has no such asset (there: {', '.join(schedule.by_id)})")
    if asset.dated is not None and asset.has_matured(market.as_of):
        # Its sale is that its cash came in.
        return asset.dated.quantity * unit_price(schedule, market, asset.dated.pays)
    price = asset.price_in(market)
    if price is None:
        raise UnpricedAsset(name, "the market of this tick does not price it; sell it at a later tick")
    return price * Fraction(1, 10**asset.decimals)


def least_proceeds(
    rules: WaterfallRules, schedule: CollateralSchedule, market: Market, asset: str, quantity: int
) -> int:
    """Return for how much cash, in smallest units, a quantity of an asset may be sold at the least, rounded up.

    What has matured is no bargain for anybody: the cash that is due for it counts whole.

    Raises:
        UnknownAsset, UnpricedAsset: as in `unit_price`; the rules allow no sale of the asset.
    """
    discount = rules.discounts.get(asset)
    if discount is None:
        raise UnknownAsset(asset, f"the waterfall rules allow no sale of it (there: {', '.join(rules.discounts)})")
    dated = schedule.dated.get(asset)
    if dated is not None and dated.has_matured(market.as_of):
        discount = Decimal(0)
    asked = (1 - Fraction(discount)) * quantity * unit_price(schedule, market, asset)
    return math.ceil(asked / unit_price(schedule, market, rules.cash))


def value_usd(rules: WaterfallRules, schedule: CollateralSchedule, market: Market, cash: int) -> str:
    """Return what a quantity of cash is worth at the prices of a tick, USD as documents spell it, rounded down.

    Raises:
        UnknownAsset, UnpricedAsset: as in `unit_price`.
    """
    scaled = math.floor(cash * unit_price(schedule, market, rules.cash) * 10**USD_DIGITS)
    whole, rest = divmod(scaled, 10**USD_DIGITS)
    return f"{whole}.{rest:0{USD_DIGITS}}".rstrip("0").rstrip(".")


def sells_too_much(before: Fraction, sold: Fraction, quantity: int, wanted: Fraction) -> bool:
    """Return whether a sale goes on beyond the unit that reaches what is wanted.

    Args:
        before: what was there.
        sold: what it brings in.
        quantity: how many units are sold.
        wanted: what is to be reached.
    """
    return before + sold * Fraction(quantity - 1, quantity) >= wanted
