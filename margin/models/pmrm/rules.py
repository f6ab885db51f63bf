"""`pmrm` behind the interface of all models. Its document is a parameter set, chosen by name from a file of sets."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

from atomic_margin.margin.kinds import Books
from atomic_margin.margin.models.case import AnyCase, CasesOfFile, OpenCase
from atomic_margin.margin.models.pmrm.books import pmrm_case, pmrm_hedged_case, pmrm_parameters
from atomic_margin.margin.models.pmrm.cases import PmrmAccount, PmrmCase, PmrmLedger, PmrmMarket, parse_case
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters, SpotVolShock, parse_parameters
from atomic_margin.margin.models.pmrm.reference import PmrmMargin, pmrm_margin
from atomic_margin.margin.models.pmrm.rows import at_reference, row_model
from atomic_margin.margin.models.portfolio_margin.fields import json_object
from atomic_margin.margin.models.portfolio_margin.model import RowModel
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook
from atomic_margin.margin.models.portfolio_margin.rules import CasePublished, PortfolioMarginRules


class PmrmRules(PortfolioMarginRules[PmrmParameters, PmrmMarket, PmrmLedger]):
    """Scenarios and charges of `PmrmParameters`."""

    NAME = "pmrm"
    DOCUMENT = PmrmParameters
    PARAMETERS_IN_CASE: ClassVar[bool] = False
    DETAILS = (
        "min_span",
        "forward_contingency",
        "base_contingency",
        "perp_contingency",
        "option_contingency",
        "oracle_contingency",
        "loss_factor",
    )

    @classmethod
    def parse_file(cls, cases: object, stem: str, parameters: object = None, chosen: str = "") -> Mapping[str, AnyCase]:
        """Return the cases of a file, or the one ``Scenario`` that it is, under one parameter set."""
        if isinstance(cases, dict) and "Scenario" in cases:
            cases = {stem: cases}
        model = cls(parse_parameters(parameters, chosen))
        return CasesOfFile(json_object(cases, "$"), lambda name, item: model.opened(parse_case(name, item)))

    @classmethod
    def sample(cls, number: int, seed: int, books: Books = "mixed") -> AnyCase:
        """Return a generated case."""
        made = pmrm_case if books == "mixed" else pmrm_hedged_case
        return cls(pmrm_parameters()).opened(made(number, seed))

    def opened(self, case: PmrmCase) -> OpenCase[CasePublished[PmrmMarket], CaseBook, PmrmLedger]:
        """Return a case under this model."""
        account = case.account
        return OpenCase(self, CasePublished(case.market, account.book), account.book, account.ledger)

    @property
    def scenarios(self) -> Sequence[SpotVolShock]:
        """The scenarios of the document."""
        return self.document.scenarios

    def row_model(self, market: PmrmMarket, ledger: PmrmLedger, held: bool) -> RowModel:
        """Return the model at a market."""
        return row_model(market, ledger, held, self.document)

    def at_reference(self, market: PmrmMarket, price: Decimal) -> PmrmMarket:
        """Return one price, one volatility, no rates."""
        return at_reference(market, price)

    def nothing(self, market: PmrmMarket) -> PmrmLedger:
        """Return no cash, no base, nothing realised."""
        return PmrmLedger(Decimal(0), Decimal(0), Decimal(0), Decimal(0))

    def case_margin(self, published: CasePublished[PmrmMarket], book: CaseBook, posted: PmrmLedger) -> PmrmMargin:
        """Return the margin of the case."""
        return pmrm_margin(PmrmCase(PmrmAccount(book, posted), published.market), self.document)
