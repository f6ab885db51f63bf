"""Both versions of `pmrm` behind the interface of all models; what differs between them is in their own `rules`."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import ClassVar, Generic, Protocol, TypeVar

from atomic_margin.margin.errors import FormMissing
from atomic_margin.margin.kinds import KINDS, Form
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.models.case import CaseModel
from atomic_margin.margin.models.interface import AccountRows, D, H, Reference
from atomic_margin.margin.models.portfolio_margin.compiled import default_gross_limit, encode_book
from atomic_margin.margin.models.portfolio_margin.conservative import MOST_ROWS, conservative_rows, row_labels
from atomic_margin.margin.models.portfolio_margin.exact import exact_rows
from atomic_margin.margin.models.portfolio_margin.listing import Listing, list_case
from atomic_margin.margin.models.portfolio_margin.margin import CaseMargin
from atomic_margin.margin.models.portfolio_margin.model import (
    BASIS,
    Labelled,
    RowModel,
    rules_hash,
    scenario_labels,
)
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook, OptionQuote, option_legs, require_quoted
from atomic_margin.margin.models.portfolio_margin.split import rounded_price
from atomic_margin.margin.rows.matrix import Integers


class CaseMarket(Protocol):
    """What the markets of both versions have."""

    @property
    def options(self) -> Sequence[OptionQuote]:
        """Quotes of the options."""

    @property
    def spot_price(self) -> Decimal:
        """Of the underlying."""


K = TypeVar("K", bound=CaseMarket)


@dataclass(frozen=True)
class CasePublished(Generic[K]):
    """A market, with the universe of what stands in it.

    A service publishes its universe; a lone case has none, so lots and digits are made to fit the account.

    Attributes:
        market: the market.
        sizes: quantities that lots and digits fit, and whether the perpetual is listed: it is if one is held.
    """

    market: K
    sizes: CaseBook

    @property
    def reference_price(self) -> Decimal:
        """Price of the underlying that gross weights are counted at, and that the split of a book goes by."""
        return rounded_price(self.market.spot_price)

    @cached_property
    def listing(self) -> Listing:
        """The instruments and combinations."""
        perpetuals = self.sizes.perpetuals if self.sizes.perpetuals else None
        legs = option_legs(self.market.options)
        return list_case(legs, self.sizes.options, perpetuals, self.reference_price, combine=True)


@dataclass(frozen=True)
class PortfolioMarginRules(CaseModel[D, CasePublished[K], CaseBook, H], Generic[D, K, H]):
    """Rows, split and limits that both versions share.

    Attributes:
        DETAILS: figures of the plain reference that are reported.
        MOST_ROWS: of the conservative form; for a profile of fewer rows, a subclass says so.
    """

    FORMS: ClassVar[tuple[Form, ...]] = ("conservative", "exact")
    DETAILS: ClassVar[tuple[str, ...]]
    MOST_ROWS: ClassVar[int] = MOST_ROWS

    @property
    @abstractmethod
    def scenarios(self) -> Sequence[Labelled]:
        """The scenarios of the document, in the order of the rows."""

    def hash(self) -> str:
        """Return what names rules and parameters in every matrix."""
        return rules_hash(self.NAME, self.document.hash())

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the scenarios, twice where rows are spent on the discount of an expiry, and the basis row."""
        skew = [item.is_skew for item in self.scenarios]
        return row_labels(scenario_labels(self.scenarios), skew, self.MOST_ROWS)

    @property
    def scenario_labels(self) -> tuple[str, ...]:
        """Labels of the scenarios, and of the basis row."""
        return (*scenario_labels(self.scenarios), BASIS)

    @abstractmethod
    def row_model(self, market: K, ledger: H, held: bool) -> RowModel:
        """Return what prices make of the model; ``held`` says whether the account holds a perpetual."""

    @abstractmethod
    def at_reference(self, market: K, price: Decimal) -> K:
        """Return the reference valuation of the same instruments, which the split of a book goes by."""

    @abstractmethod
    def case_margin(self, published: CasePublished[K], book: CaseBook, posted: H) -> CaseMargin:
        """Return the plain reference of the version."""

    def check_market(self, published: CasePublished[K]) -> None:
        """Make sure everything that is listed is quoted; the rest is checked when a case is parsed."""
        require_quoted(published.sizes, published.market.options)

    def columns(self, published: CasePublished[K], gross_limit: int, bits: int) -> EntryMap:
        """Return the columns of the universe made for the case; its cash is on the ledger."""
        return published.listing.entry_map

    def encode(self, published: CasePublished[K], book: CaseBook, columns: EntryMap) -> Integers:
        """Return the digits of a book, split into combinations without looking at prices."""
        price, held = published.reference_price, bool(published.sizes.perpetuals)
        reference = self.row_model(self.at_reference(published.market, price), self.nothing(published.market), held)
        return encode_book(published.listing, book, reference, price, self.MOST_ROWS)

    @abstractmethod
    def nothing(self, market: K) -> H:
        """Return the ledger of an account that has nothing there."""

    def gross_limit(self, published: CasePublished[K], book: CaseBook) -> int:
        """Return five quarters of the book's gross, in two digits."""
        columns = published.listing.entry_map
        return default_gross_limit(columns, self.encode(published, book, columns))

    def account_rows(
        self,
        published: CasePublished[K],
        posted: H,
        columns: EntryMap,
        gross_limit: int,
        form: Form = "conservative",
    ) -> AccountRows:
        """Return the rows of either form; exact ones have switches, whose size goes by the gross limit."""
        model = self.row_model(published.market, posted, bool(published.sizes.perpetuals))
        if form == "conservative":
            return AccountRows(*conservative_rows(model, published.listing, self.MOST_ROWS))
        if form not in self.FORMS:
            raise FormMissing(f"the model {self.name} has no {form} rows, only {', '.join(self.FORMS)}")
        return AccountRows(*exact_rows(model, published.listing, gross_limit))

    def reference(self, published: CasePublished[K], book: CaseBook, posted: H) -> Reference:
        """Return the margin of the case; the requirement is mark to market less the excess."""
        true = self.case_margin(published, book, posted)
        excess = {"maintenance": true.maintenance_excess, "initial": true.initial_excess}
        return Reference(
            model=self.name,
            excess={kind: excess[kind] for kind in KINDS},
            requirement={kind: true.mark_to_market - excess[kind] for kind in KINDS},
            worst=dict.fromkeys(KINDS, true.worst),
            mark_to_market=true.mark_to_market,
            details={name: getattr(true, name) for name in self.DETAILS},
        )
