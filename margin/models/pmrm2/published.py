"""`pmrm2` over a published universe of one underlying; its document holds the ``Parameters`` of a case."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import ClassVar, Literal

from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.models.pmrm2.cases import (
    OptionFeed,
    Pmrm2Account,
    Pmrm2Ledger,
    Pmrm2Market,
    Pmrm2Parameters,
    Shock,
)
from atomic_margin.margin.models.pmrm2.reference import Pmrm2Margin, account_margin
from atomic_margin.margin.models.pmrm2.rows import row_model
from atomic_margin.margin.models.pmrm2.rules import Pmrm2Rules
from atomic_margin.margin.models.portfolio_margin.model import RowModel
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook
from atomic_margin.margin.models.portfolio_margin.published import (
    OptionAt,
    PublishedDocument,
    PublishedPortfolioMargin,
)

_ONE, _ZERO = Decimal(1), Decimal(0)


class Pmrm2Document(PublishedDocument):
    """Format ``atomic-margin/model/1``, name ``pmrm2``.

    Attributes:
        parameters: ``Parameters`` of a case, field by field.
    """

    TAG: ClassVar[str] = "model"

    format: Literal["atomic-margin/model/1"]
    name: Literal["pmrm2"]
    parameters: Pmrm2Parameters


class PublishedPmrm2Rules(PublishedPortfolioMargin[Pmrm2Document, Pmrm2Market]):
    """Scenarios, factors and contingencies of `Pmrm2Parameters`, over a universe."""

    NAME = "pmrm2"
    DOCUMENT = Pmrm2Document
    EXAMPLE = "pmrm2/model.json"
    EXAMPLE_POSTED = "pmrm2/collateral.json"
    DETAILS = Pmrm2Rules.DETAILS

    @property
    def scenarios(self) -> Sequence[Shock]:
        """The scenarios of the parameters."""
        return self.document.parameters.scenarios

    @property
    def multipliers(self) -> Sequence[Decimal]:
        """Spot multipliers; skew scenarios are at unchanged spot."""
        return [_ONE if item.is_skew else item.spot_shock for item in self.scenarios]

    @property
    def dampening(self) -> Sequence[Decimal]:
        """Dampening factors."""
        return [item.dampening_factor for item in self.scenarios]

    def loss_factor(self, kind: MarginKind) -> Decimal:
        """Loss factor of maintenance or initial margin."""
        margin = self.document.parameters.margin
        return margin.mm_loss_factor if kind == "maintenance" else margin.im_loss_factor

    @property
    def peg_lost(self) -> bool:
        """Whether the threshold is above a peg of 1, and something is charged below it."""
        other = self.document.parameters.other_contingency
        return other.peg_loss_threshold > _ONE and other.peg_loss_factor > 0

    def version_market(self, market: Market, options: Sequence[OptionAt]) -> Pmrm2Market:
        """Return the market of a case, with confidences of 1, and what of each forward still moves."""
        quotes = market.underlyings[self.document.underlying]
        feeds = {
            option.quote.expiry: OptionFeed.model_construct(
                feed_expiry=option.quote.expiry,
                forward=option.fixed + option.moving * option.forward,
                forward_confidence=_ONE,
                rate=market.rate,
                rate_confidence=_ONE,
                option_vol_confidences=_ONE,
            )
            for option in options
        }
        return Pmrm2Market(
            options=tuple(option.quote for option in options),
            feeds=feeds,
            collaterals=(),
            spot_price=quotes.spot,
            spot_confidence=_ONE,
            perp_price=quotes.perpetual,
            perp_confidence=_ONE,
            stable_price=_ONE,
            fixed={option.quote.expiry: option.fixed for option in options},
        )

    def row_model(self, market: Pmrm2Market, listed: bool) -> RowModel:
        """Return the model at a market, for an account without collateral."""
        nothing = Pmrm2Ledger(_ZERO, (), _ZERO, _ZERO)
        return row_model(market, nothing, listed, self.document.parameters, perpetual=listed)

    def case_margin(self, market: Pmrm2Market, book: CaseBook, cash: Decimal) -> Pmrm2Margin:
        """Return the margin of the case that account and market are."""
        account = Pmrm2Account(book, Pmrm2Ledger(cash, (), _ZERO, _ZERO))
        return account_margin(account, replace(market, collaterals=()), self.document.parameters)
