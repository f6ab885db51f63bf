"""Both versions of `pmrm` over a published universe of one underlying: what terms name, and what is served.

Cases are other people's format: an account brings its market, and a universe is made to fit it. Here universe, market
and collateral schedule are those of every other model, and so are cash, funding, settlement averages and revisions;
scenarios, discounts, basis and charges are the version's. What is different from a case:

- Positions are margined from their reference prices: an option counts V - Ref, a perpetual (V - Ref) - (I - I_Ref), in
  the place of its value or of what it has realised.
- Collateral is what the schedule makes of it under the spot move of each row, in the place of haircuts of a case.
- A published price is a median of signed ones and has no confidence: charges for doubtful feeds are nil.
- Once a settlement price is averaged, the rest of the window moves and the rest of the volatility counts, by what is
  published, not by the clock. What has settled has no risk and no charge.

Columns are those of the universe, without combinations, so rows without slack lose more than those of a case do; rows
with slack lose nothing either way.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, ClassVar, Generic, TypeVar

import numpy as np

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import Document, Identifier, in_range
from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues, SpotMoves, collateral_values
from atomic_margin.margin.errors import FormMissing, InitialBelowMaintenance, NotAnalysed
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.market.elementary import ordered_product, ordered_sum
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.instruments import Instrument
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.market.valuation import Valuation, value
from atomic_margin.margin.models.breakdown import BindingRow
from atomic_margin.margin.models.initial_margin import check_collateral
from atomic_margin.margin.models.interface import AccountRows, Reference
from atomic_margin.margin.models.moves import lots_of
from atomic_margin.margin.models.portfolio_margin.conservative import MOST_ROWS, conservative_rows, row_labels, spent_on
from atomic_margin.margin.models.portfolio_margin.exact import exact_rows
from atomic_margin.margin.models.portfolio_margin.listing import UniverseListing
from atomic_margin.margin.models.portfolio_margin.margin import CaseMargin
from atomic_margin.margin.models.portfolio_margin.model import BASIS, Labelled, RowModel, scenario_labels
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook, OptionKey, OptionQuote, net_amounts
from atomic_margin.margin.models.surplus import RowSurplus
from atomic_margin.margin.models.universe import LedgerModel, Published
from atomic_margin.margin.rows.rows import Rows

Money = Annotated[Decimal, in_range("0", "1000000000000")]


class PublishedDocument(Document):
    """What the documents of both versions have beside their parameters.

    Attributes:
        underlying: the one of the universe.
        minimum_transfer_amount: USD; no margin call is smaller.
    """

    underlying: Identifier
    minimum_transfer_amount: Money


PD = TypeVar("PD", bound=PublishedDocument)
PK = TypeVar("PK")


@dataclass(frozen=True)
class OptionAt:
    """An option that has not settled, at one tick.

    Attributes:
        quote: expiry in seconds, strike, right and volatility; of that the part that can still move.
        forward: of its expiry, USD.
        fixed: settlement price so far, times the part of the window that is over, USD.
        moving: part of the settlement price that moves with the forward.
    """

    quote: OptionQuote
    forward: Decimal
    fixed: Decimal
    moving: Decimal


@dataclass(frozen=True)
class Standing(Generic[PK]):
    """A universe at one tick, as the version sees it.

    Attributes:
        universe: the instruments.
        values: of the instruments.
        market: in the version's terms.
        keys: I, option of each instrument; None for what is none, or has settled.
        listing: the instruments, in single lots.
    """

    universe: Universe
    values: Valuation
    market: PK
    keys: tuple[OptionKey | None, ...]
    listing: UniverseListing


class PublishedPortfolioMargin(LedgerModel[PD], Generic[PD, PK]):
    """Rows, collateral and plain reference that both versions share.

    Attributes:
        DETAILS: figures of the plain reference that are reported.
    """

    FORMS: ClassVar[tuple[Form, ...]] = ("conservative", "exact")
    DETAILS: ClassVar[tuple[str, ...]]

    # What a version says.

    @property
    @abstractmethod
    def scenarios(self) -> Sequence[Labelled]:
        """The scenarios of the document, in the order of the rows."""

    @property
    @abstractmethod
    def multipliers(self) -> Sequence[Decimal]:
        """Spot multiplier of each scenario, 1 for one without a spot move."""

    @property
    @abstractmethod
    def dampening(self) -> Sequence[Decimal]:
        """Part of its result that counts, of each scenario."""

    @abstractmethod
    def loss_factor(self, kind: MarginKind) -> Decimal:
        """Multiplier of losses, as long as no coin has lost its peg."""

    @abstractmethod
    def version_market(self, market: Market, options: Sequence[OptionAt]) -> PK:
        """Return the market in the version's own terms."""

    @abstractmethod
    def row_model(self, market: PK, listed: bool) -> RowModel:
        """Return what prices make of the model, for an account without collateral; whether a perpetual is listed."""

    @abstractmethod
    def case_margin(self, market: PK, book: CaseBook, cash: Decimal) -> CaseMargin:
        """Return the plain margin of a book, with so much cash and no collateral."""

    # Labels and collateral.

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the scenarios, twice where rows are spent on the discount of an expiry, and the basis row."""
        return row_labels(scenario_labels(self.scenarios), self._skew, MOST_ROWS)

    @property
    def scenario_labels(self) -> tuple[str, ...]:
        """Labels of the scenarios, and of the basis row."""
        return (*scenario_labels(self.scenarios), BASIS)

    @property
    def spot_moves(self) -> SpotMoves:
        """Spot moves of the scenarios, by dampening and loss factor, and none in the basis row."""
        maintenance, initial = self.loss_factor("maintenance"), self.loss_factor("initial")
        moves = [{self.document.underlying: multiplier - 1} for multiplier in (*self.multipliers, Decimal(1))]
        counted = [maintenance * part for part in (*self.dampening, Decimal(1))]
        factor = initial / maintenance if maintenance else Decimal(1)
        return SpotMoves(self.scenario_labels, tuple(moves), tuple(counted), factor)

    def collateral(
        self, schedule: CollateralSchedule, market: Market, posted: Mapping[str, int], form: Form = "conservative"
    ) -> CollateralValues:
        """Return the value of collateral in each row without slack."""
        if form != "conservative":
            raise FormMissing(f"collateral in {form} rows of {self.name} depends on the account; take `account_rows`")
        values = collateral_values(schedule, self.spot_moves, market, posted)
        rows = spent_on(self._skew, MOST_ROWS)
        return CollateralValues(*(values.of(kind)[rows] for kind in KINDS))

    # Initial and maintenance margin.

    @property
    @abstractmethod
    def peg_lost(self) -> bool:
        """Whether the parameters take a coin at its peg, as it is here, for one that has lost it."""

    def check_initial_margin(self, schedule: CollateralSchedule) -> None:
        """Ask for no smaller factor of initial margin; the basis row is one without a gain, and charges are no less.

        Without a peg that is lost, collateral moves by the same factor as positions.
        """
        maintenance, initial = self.loss_factor("maintenance"), self.loss_factor("initial")
        if initial < maintenance or self.peg_lost:
            raise InitialBelowMaintenance(
                "parameters",
                f"losses count {initial} times under initial margin and {maintenance} times under maintenance margin: "
                "publish a factor of initial margin that is no smaller, and a peg threshold of at most 1",
            )
        if initial > maintenance:
            check_collateral(self.spot_moves, schedule)

    # Universe and rows.

    def check_universe(self, universe: Universe) -> None:
        """Make sure the version has a rule for every instrument.

        Raises:
            MalformedDocument: another underlying, or a dated future.
        """
        for name in universe.underlyings:
            if name != self.document.underlying:
                raise MalformedDocument(
                    f"underlyings.{name}",
                    f"the model {self.name} is of {self.document.underlying} alone; publish a universe for each",
                )
        if self.document.underlying not in universe.underlyings:
            raise MalformedDocument("underlyings", f"no {self.document.underlying}, which the model {self.name} is of")
        for index, item in enumerate(universe.instruments):
            if item.kind == "future":
                raise MalformedDocument(
                    f"instruments[{index}].kind",
                    f"the model {self.name} has no rule for dated futures; list perpetuals and options",
                )

    def rows(self, universe: Universe, market: Market, form: Form = "conservative") -> Rows:
        """Return the rows without slack; those with slack depend on the account, see `account_rows`."""
        if form != "conservative":
            raise FormMissing(f"{form} rows of {self.name} depend on the gross limit; take `account_rows`")
        standing = self.standing(universe, market)
        model = self._row_model(standing)
        rows, _ = conservative_rows(model, standing.listing, MOST_ROWS)
        return _from_reference(rows, standing, model)

    def account_rows(
        self,
        published: Published,
        posted: Mapping[str, int],
        columns: EntryMap,
        gross_limit: int,
        form: Form = "conservative",
    ) -> AccountRows:
        """Return the rows of either form; exact ones have switches, whose size goes by the gross limit."""
        if form == "conservative":
            return super().account_rows(published, posted, columns, gross_limit)
        self.require_form(form)
        standing = self.standing(published.universe, published.market)
        values = collateral_values(published.schedule, self.spot_moves, published.market, posted)
        model = self._row_model(standing, values)
        rows, public = exact_rows(model, standing.listing, gross_limit)
        return AccountRows(_from_reference(rows, standing, model).spread(columns), public)

    def standing(self, universe: Universe, market: Market) -> "Standing[PK]":
        """Return a universe at one tick.

        Raises:
            MalformedDocument: the version has no rule for an instrument.
            DocumentError: the market does not price the universe.
        """
        self.check_universe(universe)
        values = value(universe, market)
        options = [
            _option_at(item, index, values, market) if item.kind == "option" and values.elapsed[index] < 1 else None
            for index, item in enumerate(universe.instruments)
        ]
        keys = tuple(option.quote.key if option else None for option in options)
        return Standing(
            universe=universe,
            values=values,
            market=self.version_market(market, [option for option in options if option]),
            keys=keys,
            listing=UniverseListing.of_universe(universe, keys),
        )

    @property
    def _skew(self) -> list[bool]:
        return [item.is_skew for item in self.scenarios]

    def _row_model(self, standing: "Standing[PK]", collateral: CollateralValues | None = None) -> RowModel:
        """Return the model at a tick, named by its document; with collateral in each scenario and the basis row."""
        model = replace(self.row_model(standing.market, bool(standing.listing.is_perpetual.any())), hash=self.hash())
        if collateral is None:
            return model
        return replace(
            model,
            maintenance=replace(model.maintenance, collateral=collateral.maintenance),
            initial=replace(model.initial, collateral=collateral.initial),
        )

    # The plain reference.

    def reference(self, published: Published, book: Portfolio, posted: Mapping[str, int]) -> Reference:
        """Return the least scenario of the version's own reference, collateral moved along."""
        true, surplus = self._margin(published, book, posted)
        now = self.collateral_now(published.schedule, published.market, posted)
        labels, mark = self.scenario_labels, true.mark_to_market + now
        excess = {kind: float(surplus.of(kind).min()) for kind in KINDS}
        return Reference(
            model=self.name,
            excess=excess,
            requirement={kind: mark - excess[kind] for kind in KINDS},
            worst={kind: labels[int(surplus.of(kind).argmin())] for kind in KINDS},
            mark_to_market=mark,
            details={name: getattr(true, name) for name in self.DETAILS} | {"collateral": now},
        )

    def scenario_surplus(self, published: Published, book: Portfolio, posted: Mapping[str, int]) -> RowSurplus:
        """Return what is left in every scenario and in the basis row, by the plain reference."""
        return self._margin(published, book, posted)[1]

    def binding_row(
        self, published: Published, book: Portfolio, posted: Mapping[str, int], kind: MarginKind
    ) -> BindingRow:
        """Say that a row of this model is no sum over lines.

        Raises:
            NotAnalysed: always: kinks are of expiries, not of lines.
        """
        raise NotAnalysed(
            f"a row of {self.name} is no sum over lines: its kinks are of whole expiries; --ladder shows the rows"
        )

    def _margin(
        self, published: Published, book: Portfolio, posted: Mapping[str, int]
    ) -> tuple[CaseMargin, RowSurplus]:
        universe, market = published.universe, published.market
        standing = self.standing(universe, market)
        long, short = lots_of(book, universe)
        units = (long - short) * standing.values.lot
        made = float(ordered_sum(units * standing.values.profit)) + float(book.cash_against(universe))
        held = self._case_book(standing, book)
        true = self.case_margin(standing.market, held, Decimal(0))
        # The case counts options at their value, and nothing of the perpetual; here they count from reference prices.
        true = self.case_margin(standing.market, held, Decimal(made - true.mark_to_market))
        collateral = collateral_values(published.schedule, self.spot_moves, market, posted)
        losses = np.append(true.losses, true.basis_loss)
        worst = min(true.min_span, true.basis_loss)
        found = {
            kind: true.excess_of(kind) + true.factor_of(kind) * (losses - worst) + collateral.of(kind) for kind in KINDS
        }
        return true, RowSurplus(self.scenario_labels, found["maintenance"], found["initial"])

    def _case_book(self, standing: "Standing[PK]", book: Portfolio) -> CaseBook:
        universe = standing.universe
        key_of = {item.id: key for item, key in zip(universe.instruments, standing.keys, strict=True)}
        perpetuals, options = Decimal(0), []
        for line in book.lines:
            item = universe.named(line.instrument, "lines")
            units = item.lot * line.lots * (1 if line.side == "long" else -1)
            key = key_of[line.instrument]
            if key is not None:
                options.append((key, units))
            elif item.kind == "perpetual":
                perpetuals += units
        return CaseBook(net_amounts(options), perpetuals)


def _option_at(item: Instrument, index: int, values: Valuation, market: Market) -> OptionAt:
    if item.expiry is None or item.strike is None:
        raise MalformedDocument(f"instruments[{index}]", "an option has an expiry and a strike")
    left = float(1 - values.elapsed[index])
    seconds = max(0, int((item.expiry - market.as_of).total_seconds()))
    return OptionAt(
        quote=OptionQuote(
            Decimal(seconds), item.strike, item.right == "call", Decimal(float(values.volatility[index]) * left)
        ),
        forward=Decimal(float(values.price[index])),
        fixed=Decimal(float(values.elapsed[index] * values.average[index])),
        moving=Decimal(left),
    )


def _from_reference(rows: Rows, standing: "Standing[PK]", model: RowModel) -> Rows:
    """Return rows in which every position counts from its reference price, in place of its value now."""
    marked = np.zeros(len(standing.keys))
    if model.now.size:
        marked = ordered_product(standing.listing.legs.astype(np.float64), model.now[:, None])[:, 0]
    extra = standing.values.lot * (standing.values.profit - marked)
    margin = np.ones(len(rows.labels), dtype=np.bool_) if rows.slack is None else ~rows.slack.validity
    both = np.where(margin[:, None], np.concatenate([extra, -extra]), 0.0)
    weights = rows.weights
    return Rows(replace(weights, maintenance=weights.maintenance + both, initial=weights.initial + both), rows.slack)
