"""`pmrm2` behind the interface of all models. Its document is the ``Parameters`` of a case."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

from atomic_margin.margin.kinds import Books
from atomic_margin.margin.models.case import AnyCase, CasesOfFile, OpenCase
from atomic_margin.margin.models.pmrm2.books import pmrm2_case, pmrm2_hedged_case
from atomic_margin.margin.models.pmrm2.cases import (
    Pmrm2Account,
    Pmrm2Case,
    Pmrm2Ledger,
    Pmrm2Market,
    Pmrm2Parameters,
    Shock,
)
from atomic_margin.margin.models.pmrm2.reference import Pmrm2Margin, account_margin
from atomic_margin.margin.models.pmrm2.rows import at_reference, row_model
from atomic_margin.margin.models.portfolio_margin.fields import json_object, parse_at
from atomic_margin.margin.models.portfolio_margin.model import RowModel
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook
from atomic_margin.margin.models.portfolio_margin.rules import CasePublished, PortfolioMarginRules


class Pmrm2Rules(PortfolioMarginRules[Pmrm2Parameters, Pmrm2Market, Pmrm2Ledger]):
    """Scenarios, factors and contingencies of `Pmrm2Parameters`."""

    NAME = "pmrm2"
    DOCUMENT = Pmrm2Parameters
    PARAMETERS_IN_CASE: ClassVar[bool] = True
    DETAILS = (
        "min_span",
        "basis_contingency",
        "maintenance_contingency",
        "initial_contingency",
        "confidence_contingency",
        "maintenance_loss_factor",
        "initial_loss_factor",
    )

    @classmethod
    def parse_file(cls, cases: object, stem: str, parameters: object = None, chosen: str = "") -> Mapping[str, AnyCase]:
        """Return the cases of a file, or the one case that it is, each under the parameters it brings."""
        given = json_object(cases, "$")
        if "Scenario" in given:
            return CasesOfFile({stem: given}, lambda _, item: cls.opened(Pmrm2Case.parse(item)))
        return CasesOfFile(given, lambda name, item: cls.opened(parse_at(Pmrm2Case, json_object(item, name), name)))

    @classmethod
    def sample(cls, number: int, seed: int, books: Books = "mixed") -> AnyCase:
        """Return a generated case."""
        return cls.opened(pmrm2_case(number, seed) if books == "mixed" else pmrm2_hedged_case(number, seed))

    @classmethod
    def opened(cls, case: Pmrm2Case) -> OpenCase[CasePublished[Pmrm2Market], CaseBook, Pmrm2Ledger]:
        """Return a case under the parameters it brings."""
        account, market = case.scenario.account(), case.scenario.market()
        return OpenCase(cls(case.parameters), CasePublished(market, account.book), account.book, account.ledger)

    @property
    def scenarios(self) -> Sequence[Shock]:
        """The scenarios of the document."""
        return self.document.scenarios

    def row_model(self, market: Pmrm2Market, ledger: Pmrm2Ledger, held: bool) -> RowModel:
        """Return the model at a market."""
        return row_model(market, ledger, held, self.document)

    def at_reference(self, market: Pmrm2Market, price: Decimal) -> Pmrm2Market:
        """Return one price, one volatility, no rates."""
        return at_reference(market, price)

    def nothing(self, market: Pmrm2Market) -> Pmrm2Ledger:
        """Return no cash, no collateral, nothing realised."""
        return Pmrm2Ledger(Decimal(0), (Decimal(0),) * len(market.collaterals), Decimal(0), Decimal(0))

    def case_margin(self, published: CasePublished[Pmrm2Market], book: CaseBook, posted: Pmrm2Ledger) -> Pmrm2Margin:
        """Return the margin of the case."""
        return account_margin(Pmrm2Account(book, posted), published.market, self.document)
