"""`pmrm` over a published universe of one underlying; its document holds a parameter set."""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Literal

from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.models.pmrm.cases import Feed, PmrmAccount, PmrmCase, PmrmLedger, PmrmMarket
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters, SpotVolShock
from atomic_margin.margin.models.pmrm.reference import PmrmMargin, pmrm_margin
from atomic_margin.margin.models.pmrm.rows import row_model
from atomic_margin.margin.models.pmrm.rules import PmrmRules
from atomic_margin.margin.models.portfolio_margin.model import RowModel
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook
from atomic_margin.margin.models.portfolio_margin.published import (
    OptionAt,
    PublishedDocument,
    PublishedPortfolioMargin,
)

_ONE, _ZERO = Decimal(1), Decimal(0)


class PmrmDocument(PublishedDocument):
    """Format ``atomic-margin/model/1``, name ``pmrm``.

    Attributes:
        parameters: a set of ``parameters.json``, field by field.
    """

    TAG: ClassVar[str] = "model"

    format: Literal["atomic-margin/model/1"]
    name: Literal["pmrm"]
    parameters: PmrmParameters


class PublishedPmrmRules(PublishedPortfolioMargin[PmrmDocument, PmrmMarket]):
    """Scenarios and charges of `PmrmParameters`, over a universe."""

    NAME = "pmrm"
    DOCUMENT = PmrmDocument
    EXAMPLE = "pmrm/model.json"
    EXAMPLE_POSTED = "pmrm/collateral.json"
    DETAILS = PmrmRules.DETAILS

    @property
    def scenarios(self) -> Sequence[SpotVolShock]:
        """The scenarios of the parameters."""
        return self.document.parameters.scenarios

    @property
    def multipliers(self) -> Sequence[Decimal]:
        """Spot multipliers."""
        return [item.spot for item in self.scenarios]

    @property
    def dampening(self) -> Sequence[Decimal]:
        """1 for every scenario: this version dampens none."""
        return [_ONE] * len(self.scenarios)

    def loss_factor(self, kind: MarginKind) -> Decimal:
        """1, and the factor of initial margin."""
        return _ONE if kind == "maintenance" else self.document.parameters.im_factor

    @property
    def peg_lost(self) -> bool:
        """Whether the threshold is above a peg of 1, and something is charged below it."""
        other = self.document.parameters
        return other.peg_loss_threshold > _ONE and other.peg_loss_factor > 0

    def version_market(self, market: Market, options: Sequence[OptionAt]) -> PmrmMarket:
        """Return the market of a case, with confidences of 1, and what of each forward is fixed."""
        quotes = market.underlyings[self.document.underlying]
        return PmrmMarket(
            options=tuple(option.quote for option in options),
            volatility_confidences={int(option.quote.expiry): _ONE for option in options},
            feeds={
                int(option.quote.expiry): Feed(option.moving * option.forward, option.fixed, _ONE, market.rate, _ONE)
                for option in options
            },
            perp_price=quotes.perpetual,
            perp_confidence=_ONE,
            spot_price=quotes.spot,
            spot_confidence=_ONE,
            stable_price=_ONE,
        )

    def row_model(self, market: PmrmMarket, listed: bool) -> RowModel:
        """Return the model at a market, for an account without collateral."""
        return row_model(market, PmrmLedger(*[_ZERO] * 4), listed, self.document.parameters, perpetual=listed)

    def case_margin(self, market: PmrmMarket, book: CaseBook, cash: Decimal) -> PmrmMargin:
        """Return the margin of the case that account and market are."""
        ledger = PmrmLedger(cash, _ZERO, _ZERO, _ZERO)
        return pmrm_margin(PmrmCase(PmrmAccount(book, ledger), market), self.document.parameters)
