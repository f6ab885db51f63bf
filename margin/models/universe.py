"""Models of a published universe: portfolios of its instruments, prices of one tick, and a collateral schedule.

A model of this kind says three things, all of one `Published`: the weights of the columns (they depend on no account),
what posted collateral is worth in each row, and the plain reference. `LedgerModel` is for those whose collateral is
what an operator's ledger holds, in one pool; others say with `on_ledger` what such an account is to them.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic

from atomic_margin.documents.strict import Document
from atomic_margin.margin.collateral import (
    CollateralHoldings,
    CollateralSchedule,
    CollateralValues,
    SpotMoves,
    check_schedule,
    collateral_values,
)
from atomic_margin.margin.errors import FormMissing, InitialBelowMaintenance
from atomic_margin.margin.kinds import Form, MarginKind
from atomic_margin.margin.market.entries import RADIX_BITS, EntryMap
from atomic_margin.margin.market.market import Market, check_market
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.breakdown import BindingRow, row_that_binds, surplus_of_rows
from atomic_margin.margin.models.interface import AccountRows, D, H, MarginModel
from atomic_margin.margin.models.moves import lots_of
from atomic_margin.margin.models.surplus import RowSurplus
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rows import Rows

Holdings = Mapping[str, int]


@dataclass(frozen=True)
class Published:
    """What is public at one tick.

    Attributes:
        universe: the instruments.
        market: prices.
        schedule: what counts as collateral, and for how much.
    """

    universe: Universe
    market: Market
    schedule: CollateralSchedule


@dataclass(frozen=True)
class UniverseModel(MarginModel[D, Published, Portfolio, H], Generic[D, H]):
    """A model of a published universe.

    Attributes:
        POSTED: document that says what an account has posted.
        EXAMPLE: its document among the examples, relative to their folder; None if there is none.
        EXAMPLE_POSTED: likewise an example of what is posted.
    """

    POSTED: ClassVar[type[Document]]
    EXAMPLE: ClassVar[str | None] = None
    EXAMPLE_POSTED: ClassVar[str] = "collateral.json"

    # What a model of this kind says.

    @property
    @abstractmethod
    def spot_moves(self) -> SpotMoves:
        """What collateral goes by: a row for each spot move that the model looks at."""

    @abstractmethod
    def rows(self, universe: Universe, market: Market, form: Form = "conservative") -> Rows:
        """Return the rows of one form, a column for a lot of every instrument and side; they depend on no account.

        Raises:
            FormMissing: the model has no rows of that form.
            TooManyCuts: this form takes more rows than a matrix has; another may do.
            DocumentError: the documents do not fit together.
            OffsettingPairGain, NonFiniteWeight: see `rows.weights`.
        """

    @abstractmethod
    def collateral(
        self, schedule: CollateralSchedule, market: Market, posted: H, form: Form = "conservative"
    ) -> CollateralValues:
        """Return what is posted in each row of a form, USD, rounded down.

        Raises:
            UnknownAsset, NegativeHolding, OutOfRange, ScheduleNotInForce, UnpricedAsset, UnknownUnderlying: see
                `collateral.collateral_values`.
        """

    @classmethod
    @abstractmethod
    def parse_posted(cls, document: object) -> H:
        """Return what is posted, of a parsed JSON document of type `POSTED`.

        Raises:
            DocumentError: the first wrong field, named by its JSON path.
        """

    @classmethod
    @abstractmethod
    def on_ledger(cls, posted: Holdings) -> H:
        """Return what an account of an operator's ledger, of one pool, has posted in this model's terms."""

    @classmethod
    @abstractmethod
    def nothing_posted(cls) -> H:
        """Return what an account has posted that has posted nothing."""

    # What follows from it.

    def check_universe(self, universe: Universe) -> None:
        """Make sure the model has a rule for every instrument; by default it has one for all.

        Raises:
            DocumentError: it has none, by field.
        """

    def check_initial_margin(self, schedule: CollateralSchedule) -> None:
        """Make sure that a breach of maintenance margin always lacks initial margin; custodians open no other.

        By default nothing is known of it; `initial_margin` has what most models need.

        Raises:
            InitialBelowMaintenance: a book may be in breach and lack none; the message says what to change.
        """
        raise InitialBelowMaintenance(
            "name",
            f"the model {self.name} does not say whether a breach of maintenance margin always lacks initial margin: "
            "have it say so in `check_initial_margin`, or have no custodians",
        )

    def check_market(self, published: Published) -> None:
        """Make sure every instrument and every asset that counts is alive, priced and moved."""
        check_market(published.market, published.universe)
        check_schedule(published.schedule, self.spot_moves, published.market)

    def columns(self, published: Published, gross_limit: int, bits: int) -> EntryMap:
        """Return the columns of the whole universe."""
        return EntryMap.of(published.universe, gross_limit, bits)

    def encode(self, published: Published, book: Portfolio, columns: EntryMap) -> Integers:
        """Return the entries of a portfolio."""
        return encode(book, published.universe, columns)

    def gross_limit(self, published: Published, book: Portfolio) -> int:
        """Return the smallest power of two that holds the book, and four times the largest gross weight."""
        universe = published.universe
        held = sum(
            line.lots * universe.gross_weight(universe.named(line.instrument, f"lines[{index}].instrument"))
            for index, line in enumerate(book.lines)
        )
        largest = max(universe.gross_weight(item) << RADIX_BITS * (item.digits - 1) for item in universe.instruments)
        return 1 << (max(held, 4 * largest) - 1).bit_length()

    def account_rows(
        self,
        published: Published,
        posted: H,
        columns: EntryMap,
        gross_limit: int,
        form: Form = "conservative",
    ) -> AccountRows:
        """Return rows and collateral of one form; the gross limit is not needed."""
        return AccountRows(
            self.rows(published.universe, published.market, form).spread(columns),
            self.collateral(published.schedule, published.market, posted, form),
        )

    # An account taken apart, for people; by default by its conservative rows, for models that lose nothing in them.

    def scenario_surplus(self, published: Published, book: Portfolio, posted: H) -> RowSurplus:
        """Return what an account has left if each scenario comes true, before rounding.

        Raises:
            DocumentError: the documents do not fit together.
        """
        rows = self.rows(published.universe, published.market).slack_free()
        collateral = self.collateral(published.schedule, published.market, posted)
        cash = float(book.cash_against(published.universe))
        return surplus_of_rows(rows, collateral, lots_of(book, published.universe), cash)

    def binding_row(self, published: Published, book: Portfolio, posted: H, kind: MarginKind) -> BindingRow:
        """Return the row that binds under one kind of margin, as a sum over lots, cash and collateral.

        Raises:
            DocumentError: the documents do not fit together.
        """
        rows = self.rows(published.universe, published.market).slack_free()
        collateral = self.collateral(published.schedule, published.market, posted)
        return row_that_binds(rows, collateral, self.scenario_surplus(published, book, posted), kind)

    def require_form(self, form: Form) -> None:
        """Raise FormMissing unless the model has rows of this form."""
        if form not in self.FORMS:
            raise FormMissing(f"the model {self.name} has no {form} rows, only {', '.join(self.FORMS)}")


@dataclass(frozen=True)
class LedgerModel(UniverseModel[D, Holdings], Generic[D]):
    """A model of a universe whose collateral is one pool, as on an operator's ledger."""

    POSTED: ClassVar[type[Document]] = CollateralHoldings

    @classmethod
    def parse_posted(cls, document: object) -> Holdings:
        """Return the posted quantities of `CollateralHoldings`, smallest units by asset."""
        return CollateralHoldings.parse(document).posted

    @classmethod
    def on_ledger(cls, posted: Holdings) -> Holdings:
        """Return the same."""
        return posted

    @classmethod
    def nothing_posted(cls) -> Holdings:
        """Return no holdings."""
        return {}

    def collateral(
        self, schedule: CollateralSchedule, market: Market, posted: Holdings, form: Form = "conservative"
    ) -> CollateralValues:
        """Return the value of collateral under each spot move, for models whose rows are these."""
        self.require_form(form)
        return collateral_values(schedule, self.spot_moves, market, posted)

    def collateral_now(self, schedule: CollateralSchedule, market: Market, posted: Holdings) -> float:
        """Return what is posted after haircut with no move, USD."""
        return float(collateral_values(schedule, self.spot_moves.now(), market, posted).maintenance[0])
