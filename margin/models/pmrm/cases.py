"""The outside case format of `pmrm`, strict: ``testAndVerifyScenarios.json``.

In a case every number is an integer, 10^18 times the decimal it stands for, except expiries (whole seconds to expiry)
and ``OptionIsCall`` (1 or 0); in a parameter set they are decimal strings. Both are kept as decimals, without rounding.
The fields the specification calls informative (``Forwards``, ``SVIparams``, …) may stand in a case and are not looked
at.

>>> parse_cases({"Mine": {"Scenario": {"OptionExpiries": [-1]}}})
Traceback (most recent call last):
    ...
atomic_margin.margin.errors.ExpiredInstrument: Mine.Scenario.OptionExpiries[0]: at least zero seconds to expiry, got -1
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

from atomic_margin.documents.errors import DuplicateId, MalformedDocument, NonPositivePrice
from atomic_margin.documents.strict import Document, ListOf
from atomic_margin.margin.errors import UnpricedInstrument
from atomic_margin.margin.models.portfolio_margin.fields import (
    Confidence,
    Flag,
    Holding,
    Price,
    PriceOrZero,
    Rate,
    Seconds,
    Signed,
    Volatility,
    json_object,
    parse_at,
)
from atomic_margin.margin.models.portfolio_margin.positions import (
    CaseBook,
    OptionQuote,
    net_amounts,
    require_one_volatility,
    require_quoted,
)

_INFORMATIVE = frozenset(
    {
        "Forwards",
        "PercentFixed",
        "SettlementPrice",
        "SVIparams",
        "StableConfidence",
        "VolShockDown",
        "VolShockUp",
    }
)


@dataclass(frozen=True)
class Feed:
    """One row of the forward and rate feeds.

    Attributes:
        forward_variable: the part of the forward that moves with spot.
        forward_fixed: the part already observed.
        forward_confidence: in [0, 1].
        rate: interest rate a year, as a fraction.
        rate_confidence: in [0, 1].
    """

    forward_variable: Decimal
    forward_fixed: Decimal
    forward_confidence: Decimal
    rate: Decimal
    rate_confidence: Decimal


class PmrmScenario(Document):
    """One ``Scenario`` of the case format as it is written, under its names in snake case; `PmrmCase` is what it says.

    Options are parallel lists, feed rows likewise; prices are in the currency of cash.
    """

    model_config = ConfigDict(alias_generator=to_pascal)
    TAG: ClassVar[str] = "pmrm-case"

    option_expiries: ListOf[Seconds]
    option_strikes: ListOf[Price]
    option_is_call: ListOf[Flag]
    option_amounts: ListOf[Signed]
    option_vols: ListOf[Volatility]
    option_vol_confidences: ListOf[Confidence]
    feed_expiries: ListOf[Seconds]
    forwards_variable: ListOf[PriceOrZero]
    forwards_fixed: ListOf[PriceOrZero]
    forward_confidences: ListOf[Confidence]
    rates: ListOf[Rate]
    rate_confidences: ListOf[Confidence]
    cash: Signed
    perps: Signed
    perp_price: PriceOrZero
    perp_confidence: Confidence
    unrealised_perp_pnl: Annotated[Signed, Field(alias="UnrealisedPerpPNL")]
    unrealised_funding: Signed
    base: Holding
    spot_price: Price
    spot_confidence: Confidence
    stable_price: Price

    @model_validator(mode="before")
    @classmethod
    def _drop_informative(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if name not in _INFORMATIVE}
        return value

    @model_validator(mode="after")
    def _check(self) -> "PmrmScenario":
        _same_length(
            self,
            "option_expiries",
            ("option_strikes", "option_is_call", "option_amounts", "option_vols", "option_vol_confidences"),
        )
        _same_length(
            self,
            "feed_expiries",
            ("forwards_variable", "forwards_fixed", "forward_confidences", "rates", "rate_confidences"),
        )
        if self.perps != 0 and self.perp_price == 0:
            raise NonPositivePrice("PerpPrice", "a perpetual that is held has a price above zero")
        feeds: dict[int, Feed] = {}
        for number, (expiry, feed) in enumerate(zip(self.feed_expiries, self._feed_rows(), strict=True)):
            if feed.forward_variable == feed.forward_fixed == 0:
                raise NonPositivePrice(f"ForwardsVariable[{number}]", "the two parts of a forward sum to above zero")
            if feeds.setdefault(expiry, feed) != feed:
                raise DuplicateId(
                    f"FeedExpiries[{number}]", f"an earlier row for {expiry} seconds says otherwise; keep one of them"
                )
        confidences: dict[int, Decimal] = {}
        for number, expiry in enumerate(self.option_expiries):
            if expiry not in feeds:
                raise UnpricedInstrument(
                    f"OptionExpiries[{number}]", f"no row of FeedExpiries is for {expiry} seconds; add it"
                )
            confidence = self.option_vol_confidences[number]
            if confidences.setdefault(expiry, confidence) != confidence:
                raise DuplicateId(
                    f"OptionVolConfidences[{number}]",
                    f"{expiry} seconds already has {confidences[expiry]:f} (times 10^18); one value per expiry",
                )
        require_one_volatility(self.quotes(), "OptionVols[{}]".format)
        return self

    def _feed_rows(self) -> tuple[Feed, ...]:
        columns = zip(
            self.forwards_variable,
            self.forwards_fixed,
            self.forward_confidences,
            self.rates,
            self.rate_confidences,
            strict=True,
        )
        return tuple(Feed(*row) for row in columns)

    def quotes(self) -> tuple[OptionQuote, ...]:
        """Return the option quotes, in order."""
        rows = zip(self.option_expiries, self.option_strikes, self.option_is_call, self.option_vols, strict=True)
        return tuple(OptionQuote(Decimal(row[0]), row[1], row[2], row[3]) for row in rows)

    def market(self) -> "PmrmMarket":
        """Return what is public."""
        return PmrmMarket(
            options=self.quotes(),
            volatility_confidences=dict(zip(self.option_expiries, self.option_vol_confidences, strict=True)),
            feeds=dict(zip(self.feed_expiries, self._feed_rows(), strict=True)),
            perp_price=self.perp_price,
            perp_confidence=self.perp_confidence,
            spot_price=self.spot_price,
            spot_confidence=self.spot_confidence,
            stable_price=self.stable_price,
        )

    def account(self) -> "PmrmAccount":
        """Return the account."""
        amounts = zip((quote.key for quote in self.quotes()), self.option_amounts, strict=True)
        return PmrmAccount(
            book=CaseBook(net_amounts(amounts), self.perps),
            ledger=PmrmLedger(self.cash, self.base, self.unrealised_perp_pnl, self.unrealised_funding),
        )


@dataclass(frozen=True)
class PmrmMarket:
    """The market of a case: public. Prices are in the currency of cash, confidences in [0, 1].

    Attributes:
        options: quotes of the options, in the order of the case.
        volatility_confidences: of each expiry's volatility feed, by seconds to expiry.
        feeds: feed row of each expiry, by seconds to expiry.
        perp_price: of the perpetual; 0 where nobody holds it.
        perp_confidence: of its feed.
        spot_price: of the underlying.
        spot_confidence: of its feed.
        stable_price: of the coin that cash is in.
    """

    options: tuple[OptionQuote, ...]
    volatility_confidences: Mapping[int, Decimal]
    feeds: Mapping[int, Feed]
    perp_price: Decimal
    perp_confidence: Decimal
    spot_price: Decimal
    spot_confidence: Decimal
    stable_price: Decimal


@dataclass(frozen=True)
class PmrmLedger:
    """What the operator's ledger knows of an account.

    Attributes:
        cash: may be negative.
        base: spot collateral, units of the underlying.
        unrealised_perp_pnl: profit of the perpetual so far; see `realised` for when it counts.
        unrealised_funding: likewise its funding.
    """

    cash: Decimal
    base: Decimal
    unrealised_perp_pnl: Decimal
    unrealised_funding: Decimal


@dataclass(frozen=True)
class PmrmAccount:
    """An account: what it holds, and what the ledger knows."""

    book: CaseBook
    ledger: PmrmLedger


@dataclass(frozen=True)
class PmrmCase:
    """An account and the market it stands in.

    Raises:
        UnpricedInstrument: the account holds an option that the market does not quote.
    """

    account: PmrmAccount
    market: PmrmMarket

    def __post_init__(self) -> None:
        require_quoted(self.account.book, self.market.options)

    @classmethod
    def parse(cls, value: object) -> "PmrmCase":
        """Return the case of a parsed ``Scenario``.

        Raises:
            DocumentError: the first wrong field, named by its JSON path.
        """
        scenario = PmrmScenario.parse(value)
        return cls(scenario.account(), scenario.market())


def parse_cases(value: object) -> dict[str, PmrmCase]:
    """Return the cases of a parsed JSON object ``{name: {"Scenario": …, …}}``; what stands beside it is not read.

    Raises:
        DocumentError: the first wrong field, named by its JSON path.
    """
    return {name: parse_case(name, item) for name, item in json_object(value, "$").items()}


def parse_case(name: str, value: object) -> PmrmCase:
    """Return the case of a parsed JSON object ``{"Scenario": …, …}`` that stands under a name.

    Raises:
        DocumentError: the first wrong field, named by its JSON path.
    """
    item = json_object(value, name)
    if "Scenario" not in item:
        raise MalformedDocument(f"{name}.Scenario", "this field is missing; add it")
    scenario = parse_at(PmrmScenario, item["Scenario"], f"{name}.Scenario")
    return PmrmCase(scenario.account(), scenario.market())


def _same_length(case: PmrmScenario, first: str, others: tuple[str, ...]) -> None:
    wanted = len(getattr(case, first))
    for name in others:
        if len(getattr(case, name)) != wanted:
            raise MalformedDocument(
                to_pascal(name), f"as long as {to_pascal(first)}, {wanted}, got {len(getattr(case, name))}"
            )
