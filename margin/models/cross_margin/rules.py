"""Cross-margin behind the interface of all models: every cut without slack, and fewer rows with slack.

Collateral is posted by pool; what an operator's ledger has of an account is its central pool.
"""

from collections.abc import Mapping

from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues, SpotMoves, pool_collateral_values
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.breakdown import BindingRow
from atomic_margin.margin.models.cross_margin.document import CENTRAL, CrossMarginModel, PoolHoldings
from atomic_margin.margin.models.cross_margin.exact import compile_exact_cross, exact_cross_collateral
from atomic_margin.margin.models.cross_margin.reference import cross_margin, venue_row
from atomic_margin.margin.models.cross_margin.rows import CutForm, compile_cuts, cut_collateral, cut_labels
from atomic_margin.margin.models.cross_margin.values import lot_values
from atomic_margin.margin.models.initial_margin import check_collateral, check_unchanged
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.models.moves import lots_of, revalue_moves
from atomic_margin.margin.models.surplus import RowSurplus
from atomic_margin.margin.models.universe import Published, UniverseModel
from atomic_margin.margin.rows.rows import Rows

Pools = Mapping[str, Mapping[str, int]]


class CrossMarginRules(UniverseModel[CrossMarginModel, Pools]):
    """Venues, pools and scenarios of a `CrossMarginModel`.

    Conservative rows are every cut, also those that matter only to a covered account: the least row is then the margin
    itself. A document may ask for fewer.
    """

    NAME = "cross_margin"
    DOCUMENT = CrossMarginModel
    FORMS = ("conservative", "exact")
    POSTED = PoolHoldings
    EXAMPLE = "cross-margin/model.json"
    EXAMPLE_POSTED = "cross-margin/pools.json"

    @property
    def labels(self) -> tuple[str, ...]:
        """Scenarios, and within one the cuts."""
        return cut_labels(self.document, self._cuts)

    @property
    def _cuts(self) -> CutForm:
        return self.document.cuts or "complete"

    @property
    def spot_moves(self) -> SpotMoves:
        """Spot moves of the scenarios, with their coverage; every pool goes by them."""
        return self.document.spot_moves

    @classmethod
    def parse_posted(cls, document: object) -> Pools:
        """Return the posted quantities of `PoolHoldings`, by pool."""
        return PoolHoldings.parse(document).posted

    @classmethod
    def on_ledger(cls, posted: Mapping[str, int]) -> Pools:
        """Return all of it in the central pool, which counts at every venue."""
        return {CENTRAL: posted}

    @classmethod
    def nothing_posted(cls) -> Pools:
        """Return no pools."""
        return {}

    def check_initial_margin(self, schedule: CollateralSchedule) -> None:
        """Ask for a scenario in which nothing moves, and for collateral with room, unless both kinds are one."""
        if self.document.initial_factor > 1:
            check_unchanged(self.document.scenarios)
            check_collateral(self.spot_moves, schedule)

    def rows(self, universe: Universe, market: Market, form: Form = "conservative") -> Rows:
        """Return every cut, or a row for each scenario with slack for each venue."""
        self.require_form(form)
        if form == "exact":
            return compile_exact_cross(self.document, universe, market)
        return Rows(compile_cuts(self.document, universe, market, form=self._cuts))

    def collateral(
        self, schedule: CollateralSchedule, market: Market, posted: Pools, form: Form = "conservative"
    ) -> CollateralValues:
        """Return the pools as the rows count them."""
        self.require_form(form)
        if form == "exact":
            return exact_cross_collateral(self.document, schedule, market, posted)
        return cut_collateral(self.document, schedule, market, posted, form=self._cuts)

    def reference(self, published: Published, book: Portfolio, posted: Pools) -> Reference:
        """Return the least scenario; the requirement is the worst one of all venues together."""
        model, universe, market, schedule = self.document, published.universe, published.market, published.schedule
        true = cross_margin(model, universe, market, schedule, book, posted)
        lots = lot_values(model, universe, market, "maintenance")
        profit = revalue_moves(model.scenarios, model.charges, universe, market).profit
        here = self.spot_moves.now()
        pools = pool_collateral_values(schedule, here, market, posted)
        now = sum(float(pool.maintenance[0]) for pool in pools.values())
        long, short = lots_of(book, universe)
        unrealised, cash = float(profit @ (long - short)), float(book.cash_against(universe))
        alone = max(0.0, unrealised - float((lots.long @ long + lots.short @ short).min()))
        made = unrealised + cash
        return Reference(
            model=self.name,
            excess={kind: float(true.of(kind).min()) for kind in KINDS},
            requirement={"maintenance": alone, "initial": float(model.initial_factor) * alone},
            worst={kind: true.worst(kind) for kind in KINDS},
            mark_to_market=made + now,
            details={"min_span": -alone, "profit": made, "collateral": now},
        )

    def scenario_surplus(self, published: Published, book: Portfolio, posted: Pools) -> RowSurplus:
        """Return what all venues together have left in every scenario."""
        return cross_margin(self.document, published.universe, published.market, published.schedule, book, posted)

    def binding_row(self, published: Published, book: Portfolio, posted: Pools, kind: MarginKind) -> BindingRow:
        """Return the scenario that binds, with the share of each venue that counts."""
        return venue_row(self.document, published.universe, published.market, published.schedule, book, posted, kind)
