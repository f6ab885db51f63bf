"""The scan model behind the interface of all models: slack-free rows only, and they are exact."""

from collections.abc import Mapping

from atomic_margin.margin.collateral import CollateralSchedule, SpotMoves
from atomic_margin.margin.kinds import KINDS, Form
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.initial_margin import check_collateral, check_unchanged
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.margin.models.scan.reference import true_surplus
from atomic_margin.margin.models.scan.weights import compile_weights
from atomic_margin.margin.models.universe import LedgerModel, Published
from atomic_margin.margin.rows.rows import Rows


class ScanRules(LedgerModel[ScanModel]):
    """Scenarios and charges of a `ScanModel`."""

    NAME = "scan"
    DOCUMENT = ScanModel
    EXAMPLE = "model-scan.json"

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the scenarios."""
        return self.document.labels

    @property
    def spot_moves(self) -> SpotMoves:
        """Spot moves of the scenarios, with their coverage."""
        return self.document.spot_moves

    def check_initial_margin(self, schedule: CollateralSchedule) -> None:
        """Ask for a scenario in which nothing moves, and for collateral with room, unless both kinds are one."""
        if self.document.initial_factor > 1:
            check_unchanged(self.document.scenarios)
            check_collateral(self.spot_moves, schedule)

    def rows(self, universe: Universe, market: Market, form: Form = "conservative") -> Rows:
        """Return a row for each scenario."""
        self.require_form(form)
        return Rows(compile_weights(self.document, universe, market))

    def reference(self, published: Published, book: Portfolio, posted: Mapping[str, int]) -> Reference:
        """Return the least scenario; the requirement is scan risk plus charges, without collateral."""
        universe, market, schedule = published.universe, published.market, published.schedule
        true = true_surplus(self.document, universe, market, schedule, book, posted)
        now = self.collateral_now(schedule, market, posted)
        return Reference(
            model=self.name,
            excess={kind: float(true.of(kind).min()) for kind in KINDS},
            requirement={"maintenance": true.maintenance_requirement, "initial": true.initial_requirement},
            worst={kind: true.worst(kind) for kind in KINDS},
            mark_to_market=true.profit + now,
            details={"min_span": -true.maintenance_requirement, "profit": true.profit, "collateral": now},
        )
