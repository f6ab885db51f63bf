"""The case format of `pmrm2`: ``{"Scenario": {…}, "Parameters": {…}}``, an account with its market and a parameter set.

Numbers are JSON numbers or decimal strings in plain units (not times 10^18); a JSON number that is not whole stands for
its shortest decimal. Flags are 0 or 1 (or JSON booleans). Unknown fields are not looked at, missing ones are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field, PlainValidator, model_validator
from pydantic.alias_generators import to_pascal

from atomic_margin.documents.errors import (
    DocumentError,
    DuplicateId,
    MalformedDocument,
    NegativeHolding,
    NegativeVolatility,
    NonPositivePrice,
    NotADecimal,
    OutOfRange,
)
from atomic_margin.documents.strict import MAX_PRICE, MAX_QUANTITY, Document, ListOf, NonEmptyListOf, Part, problem
from atomic_margin.margin.errors import ExpiredInstrument, UnpricedInstrument
from atomic_margin.margin.models.portfolio_margin.fields import MAX_EXPIRY, MAX_RATE, MAX_VOLATILITY
from atomic_margin.margin.models.portfolio_margin.positions import (
    CaseBook,
    OptionQuote,
    net_amounts,
    require_one_volatility,
)

Direction: TypeAlias = Literal["up", "none", "down", "linear", "abs"]

_SPELLING = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_MAX_CHARACTERS = 100


def _number(value: object) -> Decimal:
    known = not isinstance(value, bool) and isinstance(value, (int, float, Decimal, str))
    if isinstance(value, int) and value.bit_length() > 256:
        raise problem(OutOfRange, "at most 256 bits here")
    text = str(value)
    if not known or len(text) > _MAX_CHARACTERS or not _SPELLING.fullmatch(text):
        raise problem(NotADecimal, f'write a finite number or decimal string such as "0.25", got {repr(value)[:40]}')
    return Decimal(text)


def _in(
    low: Decimal | int,
    high: Decimal | int,
    too_low: type[DocumentError] = OutOfRange,
    *,
    above: bool = False,
    what: str = "a number here",
) -> PlainValidator:
    """Return a validator for a number in [low, high]; ``above`` leaves out ``low``."""

    def check(value: object) -> Decimal:
        number = _number(value)
        if number < low or (above and number == low):
            raise problem(too_low, f"{what} is {'above' if above else 'at least'} {low}, got {number}")
        if number > high:
            raise problem(OutOfRange, f"{what} is at most {high}, got {number}")
        return number

    return PlainValidator(check)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    number = _number(value)
    if number not in (0, 1):
        raise problem(OutOfRange, f"write 1 or 0, got {number}")
    return bool(number)


def _direction(value: object) -> str:
    if isinstance(value, str) and value.lower() in ("up", "none", "down", "linear", "abs"):
        return value.lower()
    raise problem(MalformedDocument, f"write Up, None, Down, Linear or Abs, got {repr(value)[:40]}")


def _confidences(value: object) -> Decimal:
    values = value if isinstance(value, list) and value else [value]
    numbers = [_number(item) for item in values]
    if not all(0 <= number <= 1 for number in numbers):
        raise problem(OutOfRange, f"a confidence is from 0 to 1, got {repr(value)[:40]}")
    return min(numbers)


_Flag = Annotated[bool, PlainValidator(_flag)]
_Expiry = Annotated[Decimal, _in(0, MAX_EXPIRY, ExpiredInstrument, above=True, what="seconds to expiry")]
_Price = Annotated[Decimal, _in(0, MAX_PRICE, NonPositivePrice, above=True, what="a price")]
_PriceOrZero = Annotated[Decimal, _in(0, MAX_PRICE, NonPositivePrice, what="a price here")]
_Volatility = Annotated[Decimal, _in(0, MAX_VOLATILITY, NegativeVolatility, what="a volatility")]
_Signed = Annotated[Decimal, _in(-MAX_QUANTITY, MAX_QUANTITY)]
_Holding = Annotated[Decimal, _in(0, MAX_QUANTITY, NegativeHolding, what="a holding")]
_Rate = Annotated[Decimal, _in(-MAX_RATE, MAX_RATE, what="a rate")]
_Confidence = Annotated[Decimal, _in(0, 1, what="a confidence")]
_Share = Annotated[Decimal, _in(0, 1, what="a share")]
_Factor = Annotated[Decimal, _in(0, 100, what="a factor")]
_SignedFactor = Annotated[Decimal, _in(-100, 100, what="a factor")]
_Multiplier = Annotated[Decimal, _in(0, 100, above=True, what="a spot multiplier")]


class _Fields(Part):
    model_config = ConfigDict(alias_generator=to_pascal, extra="ignore")


class _Settings(Part):
    model_config = ConfigDict(alias_generator=str.upper, extra="ignore")


class Collateral(_Fields):
    """One collateral asset held; its value is amount * price / stable price.

    Attributes:
        name: for the reader; it need not be unique.
        amount: quantity, at least 0.
        price: in the currency of spot.
        confidence: of the price feed, in [0, 1].
        is_risk_cancelling: its value moves with spot in the scenarios.
        im_haircut: fraction of the value.
        mm_haircut: fraction of the value.
    """

    name: str
    amount: _Holding
    price: _Price
    confidence: _Confidence
    is_risk_cancelling: _Flag
    im_haircut: Annotated[_Share, Field(alias="IMHaircut")]
    mm_haircut: Annotated[_Share, Field(alias="MMHaircut")]


class OptionPosition(_Fields):
    """One option row: seconds to expiry, strike, type, annualised volatility and signed quantity."""

    expiry: _Expiry
    strike: _Price
    is_call: _Flag
    mark_vol: _Volatility
    amount: _Signed


class OptionFeed(_Fields):
    """Forward, rate and confidences of one expiry (seconds).

    ``OptionVolConfidences`` is the expiry's one confidence; of a list the least counts.
    """

    feed_expiry: _Expiry
    forward: _Price
    forward_confidence: _Confidence
    rate: _Rate
    rate_confidence: _Confidence
    option_vol_confidences: Annotated[Decimal, PlainValidator(_confidences)]


class Pmrm2Scenario(_Fields):
    """``Scenario``: an account and the market it stands in. Prices are in the currency of cash."""

    cash: _Signed
    collaterals: ListOf[Collateral]
    spot_price: _Price
    spot_confidence: _Confidence
    num_perps: _Signed
    perp_price: _PriceOrZero
    perp_confidence: _Confidence
    unrealised_perp_pnl: Annotated[_Signed, Field(alias="UnrealisedPerpPNL")]
    unrealised_funding: _Signed
    stable_price: _Price
    options: ListOf[OptionPosition]
    option_feeds: ListOf[OptionFeed]

    def quotes(self) -> tuple[OptionQuote, ...]:
        """Return the option quotes, in order."""
        return tuple(OptionQuote(item.expiry, item.strike, item.is_call, item.mark_vol) for item in self.options)

    def market(self) -> "Pmrm2Market":
        """Return what is public."""
        return Pmrm2Market(
            options=self.quotes(),
            feeds={feed.feed_expiry: feed for feed in self.option_feeds},
            collaterals=tuple(
                CollateralQuote(
                    item.name, item.price, item.confidence, item.is_risk_cancelling, item.im_haircut, item.mm_haircut
                )
                for item in self.collaterals
            ),
            spot_price=self.spot_price,
            spot_confidence=self.spot_confidence,
            perp_price=self.perp_price,
            perp_confidence=self.perp_confidence,
            stable_price=self.stable_price,
        )

    def account(self) -> "Pmrm2Account":
        """Return the account."""
        amounts = ((quote.key, item.amount) for quote, item in zip(self.quotes(), self.options, strict=True))
        return Pmrm2Account(
            book=CaseBook(net_amounts(amounts), self.num_perps),
            ledger=Pmrm2Ledger(
                self.cash,
                tuple(item.amount for item in self.collaterals),
                self.unrealised_perp_pnl,
                self.unrealised_funding,
            ),
        )


@dataclass(frozen=True)
class CollateralQuote:
    """What a market says of one collateral asset; see `Collateral`."""

    name: str
    price: Decimal
    confidence: Decimal
    is_risk_cancelling: bool
    im_haircut: Decimal
    mm_haircut: Decimal


@dataclass(frozen=True)
class Pmrm2Market:
    """The market of a case: public. Prices are in the currency of cash, confidences in [0, 1].

    Attributes:
        options: quotes of the options, in the order of the case.
        feeds: feed of each expiry, by seconds to expiry.
        collaterals: quotes of the assets, in the order of the case.
        spot_price: of the underlying.
        spot_confidence: of its feed.
        perp_price: of the perpetual; 0 where nobody holds it.
        perp_confidence: of its feed.
        stable_price: of the coin that cash is in.
    """

    options: tuple[OptionQuote, ...]
    feeds: Mapping[Decimal, OptionFeed]
    collaterals: tuple[CollateralQuote, ...]
    spot_price: Decimal
    spot_confidence: Decimal
    perp_price: Decimal
    perp_confidence: Decimal
    stable_price: Decimal


@dataclass(frozen=True)
class Pmrm2Ledger:
    """What the operator's ledger knows of an account.

    Attributes:
        cash: may be negative.
        collaterals: amount of each asset, in the order of the market.
        unrealised_perp_pnl: profit of the perpetual so far; it counts while one is held.
        unrealised_funding: likewise its funding.
    """

    cash: Decimal
    collaterals: tuple[Decimal, ...]
    unrealised_perp_pnl: Decimal
    unrealised_funding: Decimal


@dataclass(frozen=True)
class Pmrm2Account:
    """An account: what it holds, and what the ledger knows."""

    book: CaseBook
    ledger: Pmrm2Ledger


class Shock(_Fields):
    """One scenario.

    Attributes:
        spot_shock: spot multiplier, above 0; the skew scenarios (linear, abs) are at unchanged spot and do not use it.
        vol_shock_direction: in lower case.
        dampening_factor: multiplies the scenario's whole profit and loss.
    """

    spot_shock: _Multiplier
    vol_shock_direction: Annotated[Direction, PlainValidator(_direction)]
    dampening_factor: _Factor

    @property
    def is_skew(self) -> bool:
        """Whether this is one of the two skew scenarios."""
        return self.vol_shock_direction in ("linear", "abs")

    @property
    def label(self) -> str:
        """Name of the scenario, such as ``1.15 up`` or ``skew abs``."""
        return f"{'skew' if self.is_skew else self.spot_shock} {self.vol_shock_direction}"


class SkewShock(_Settings):
    """``SkewShock``: caps of the relative move in volatility, and the log moneyness k* at which they are reached."""

    linear_scale_cap: _SignedFactor
    linear_cbase: _SignedFactor
    abs_scale_cap: _SignedFactor
    abs_cbase: _SignedFactor
    min_k_star: Annotated[Decimal, _in(Decimal("1e-12"), 100, what="MIN_K_STAR")]
    min_width_scale: _SignedFactor
    vol_param_static: _SignedFactor
    vol_param_scale: _SignedFactor


class VolShock(_Settings):
    """``VolShock``: ranges and powers of the volatility shocks; ``dte_floor`` is in days."""

    volrangeup: _Factor
    volrangedown: _Factor
    min_vol_eval_shocked: Annotated[Decimal, _in(0, MAX_VOLATILITY, NegativeVolatility, what="a volatility")]
    shorttermpower: _Factor
    longtermpower: _Factor
    dte_floor: Annotated[Decimal, _in(Decimal("1e-9"), MAX_EXPIRY // 86400, what="DTE_FLOOR, in days,")]


class MarginFactors(_Settings):
    """``Margin``: loss factors and the two-sided static discount."""

    mm_loss_factor: _Factor
    im_loss_factor: _Factor
    short_rate_multscale: _Factor
    long_rate_multscale: _Factor
    short_rate_addscale: _Factor
    long_rate_addscale: _Factor
    base_static_discount: _Factor
    base_static_discount_neg: _Factor


class BasisContingency(_Settings):
    """``BasisContingency``: spot multipliers of the two basis moves, and the share of the loss charged."""

    scenario_spot_up: _Multiplier
    scenario_spot_down: _Multiplier
    basis_cont_add_factor: _Factor
    basis_cont_mult_factor: _Factor


class OtherContingency(_Settings):
    """``OtherContingency``: peg, confidence, perpetual and naked-option terms, as fractions."""

    peg_loss_threshold: _Factor
    peg_loss_factor: _Factor
    conf_threshold: _Share
    conf_margin: _Factor
    mm_perp_percent: _Factor
    im_perp_percent: _Factor
    mm_option_percent: _Factor
    im_option_percent: _Factor


class Pmrm2Parameters(Document):
    """``Parameters``: the parameter set."""

    model_config = ConfigDict(alias_generator=to_pascal, extra="ignore")
    TAG: ClassVar[str] = "pmrm2-parameters"

    scenarios: NonEmptyListOf[Shock]
    skew_shock: SkewShock
    vol_shock: VolShock
    margin: MarginFactors
    basis_contingency: BasisContingency
    other_contingency: OtherContingency


class Pmrm2Case(Document):
    """A whole case. `parse` raises a DocumentError that names the first wrong field by its JSON path."""

    model_config = ConfigDict(alias_generator=to_pascal, extra="ignore")
    TAG: ClassVar[str] = "pmrm2-case"

    scenario: Pmrm2Scenario
    parameters: Pmrm2Parameters

    @model_validator(mode="after")
    def _check(self) -> "Pmrm2Case":
        scenario = self.scenario
        if scenario.num_perps != 0 and scenario.perp_price == 0:
            raise NonPositivePrice("Scenario.PerpPrice", "a perpetual that is held has a price above zero")
        feeds: dict[Decimal, OptionFeed] = {}
        for number, feed in enumerate(scenario.option_feeds):
            if feeds.setdefault(feed.feed_expiry, feed) != feed:
                raise DuplicateId(
                    f"Scenario.OptionFeeds[{number}].FeedExpiry",
                    f"an earlier feed for {feed.feed_expiry} seconds says otherwise; keep one of them",
                )
        for number, option in enumerate(scenario.options):
            if option.expiry not in feeds:
                raise UnpricedInstrument(
                    f"Scenario.Options[{number}].Expiry",
                    f"no entry of OptionFeeds is for {option.expiry} seconds; add it",
                )
        require_one_volatility(scenario.quotes(), "Scenario.Options[{}].MarkVol".format)
        return self
