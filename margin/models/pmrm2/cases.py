"""The case format of `pmrm2`: ``{"Scenario": {…}, "Parameters": {…}}``, an account with its market and a parameter set.

Numbers are JSON numbers or decimal strings in plain units (not times 10^18); a JSON number that is not whole stands for
its shortest decimal. Flags are 0 or 1 (or JSON booleans). Unknown fields are not looked at, missing ones are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, PlainValidator, model_validator
from pydantic.alias_generators import to_pascal

from atomic_margin.documents.errors import (
    DuplicateId,
    NegativeVolatility,
    NonPositivePrice,
)
from atomic_margin.documents.strict import MAX_VOLATILITY, Document, ListOf, NonEmptyListOf
from atomic_margin.margin.errors import UnpricedInstrument
from atomic_margin.margin.models.pmrm2.fields import (
    Confidence,
    Direction,
    Expiry,
    Factor,
    Fields,
    Flag,
    Holding,
    Multiplier,
    Price,
    PriceOrZero,
    Rate,
    Settings,
    Share,
    Signed,
    SignedFactor,
    Volatility,
    direction,
    least_confidence,
    number_in,
)
from atomic_margin.margin.models.portfolio_margin.fields import MAX_EXPIRY
from atomic_margin.margin.models.portfolio_margin.positions import (
    CaseBook,
    OptionQuote,
    net_amounts,
    require_one_volatility,
)


class Collateral(Fields):
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
    amount: Holding
    price: Price
    confidence: Confidence
    is_risk_cancelling: Flag
    im_haircut: Annotated[Share, Field(alias="IMHaircut")]
    mm_haircut: Annotated[Share, Field(alias="MMHaircut")]


class OptionPosition(Fields):
    """One option row: seconds to expiry, strike, type, annualised volatility and signed quantity."""

    expiry: Expiry
    strike: Price
    is_call: Flag
    mark_vol: Volatility
    amount: Signed


class OptionFeed(Fields):
    """Forward, rate and confidences of one expiry (seconds).

    ``OptionVolConfidences`` is the expiry's one confidence; of a list the least counts.
    """

    feed_expiry: Expiry
    forward: Price
    forward_confidence: Confidence
    rate: Rate
    rate_confidence: Confidence
    option_vol_confidences: Annotated[Decimal, PlainValidator(least_confidence)]


class Pmrm2Scenario(Fields):
    """``Scenario``: an account and the market it stands in. Prices are in the currency of cash."""

    cash: Signed
    collaterals: ListOf[Collateral]
    spot_price: Price
    spot_confidence: Confidence
    num_perps: Signed
    perp_price: PriceOrZero
    perp_confidence: Confidence
    unrealised_perp_pnl: Annotated[Signed, Field(alias="UnrealisedPerpPNL")]
    unrealised_funding: Signed
    stable_price: Price
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
        fixed: part of the forward that can no longer move, by seconds to expiry; None where the clock says it.
    """

    options: tuple[OptionQuote, ...]
    feeds: Mapping[Decimal, OptionFeed]
    collaterals: tuple[CollateralQuote, ...]
    spot_price: Decimal
    spot_confidence: Decimal
    perp_price: Decimal
    perp_confidence: Decimal
    stable_price: Decimal
    fixed: Mapping[Decimal, Decimal] | None = None


@dataclass(frozen=True)
class Pmrm2Ledger:
    """What the operator's ledger knows of an account.

    Attributes:
        cash: may be negative.
        collaterals: amount of each asset, in the order of the market.
        unrealised_perp_pnl: profit of the perpetual so far; see `realised` for when it counts.
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


class Shock(Fields):
    """One scenario.

    Attributes:
        spot_shock: spot multiplier, above 0; the skew scenarios (linear, abs) are at unchanged spot and do not use it.
        vol_shock_direction: in lower case.
        dampening_factor: multiplies the scenario's whole profit and loss.
    """

    spot_shock: Multiplier
    vol_shock_direction: Annotated[Direction, PlainValidator(direction)]
    dampening_factor: Factor

    @property
    def is_skew(self) -> bool:
        """Whether this is one of the two skew scenarios."""
        return self.vol_shock_direction in ("linear", "abs")

    @property
    def label(self) -> str:
        """Name of the scenario, such as ``1.15 up`` or ``skew abs``."""
        return f"{'skew' if self.is_skew else self.spot_shock} {self.vol_shock_direction}"


class SkewShock(Settings):
    """``SkewShock``: caps of the relative move in volatility, and the log moneyness k* at which they are reached."""

    linear_scale_cap: SignedFactor
    linear_cbase: SignedFactor
    abs_scale_cap: SignedFactor
    abs_cbase: SignedFactor
    min_k_star: Annotated[Decimal, number_in(0, 100, what="MIN_K_STAR")]
    min_width_scale: SignedFactor
    vol_param_static: SignedFactor
    vol_param_scale: SignedFactor


class VolShock(Settings):
    """``VolShock``: ranges and powers of the volatility shocks; ``dte_floor`` is in days."""

    volrangeup: Factor
    volrangedown: Factor
    min_vol_eval_shocked: Annotated[Decimal, number_in(0, MAX_VOLATILITY, NegativeVolatility, what="a volatility")]
    shorttermpower: Factor
    longtermpower: Factor
    dte_floor: Annotated[Decimal, number_in(0, MAX_EXPIRY // 86400, what="DTE_FLOOR, in days,")]


class MarginFactors(Settings):
    """``Margin``: loss factors and the two-sided static discount."""

    mm_loss_factor: Factor
    im_loss_factor: Factor
    short_rate_multscale: Factor
    long_rate_multscale: Factor
    short_rate_addscale: Factor
    long_rate_addscale: Factor
    base_static_discount: Factor
    base_static_discount_neg: Factor


class BasisContingency(Settings):
    """``BasisContingency``: spot multipliers of the two basis moves, and the share of the loss charged."""

    scenario_spot_up: Multiplier
    scenario_spot_down: Multiplier
    basis_cont_add_factor: Factor
    basis_cont_mult_factor: Factor


class OtherContingency(Settings):
    """``OtherContingency``: peg, confidence, perpetual and naked-option terms, as fractions."""

    peg_loss_threshold: Factor
    peg_loss_factor: Factor
    conf_threshold: Share
    conf_margin: Factor
    mm_perp_percent: Factor
    im_perp_percent: Factor
    mm_option_percent: Factor
    im_option_percent: Factor


class Pmrm2Parameters(Document):
    """``Parameters``: the parameter set."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, extra="ignore")
    TAG: ClassVar[str] = "pmrm2-parameters"

    scenarios: NonEmptyListOf[Shock]
    skew_shock: SkewShock
    vol_shock: VolShock
    margin: MarginFactors
    basis_contingency: BasisContingency
    other_contingency: OtherContingency


class Pmrm2Case(Document):
    """A whole case. `parse` raises a DocumentError that names the first wrong field by its JSON path."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, extra="ignore")
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
