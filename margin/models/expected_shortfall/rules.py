"""Expected shortfall behind the interface of all models: a cover without slack, and exact rows with slack."""

from collections.abc import Mapping

import numpy as np

from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues, SpotMoves
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.breakdown import BindingRow
from atomic_margin.margin.models.expected_shortfall.conservative import (
    compile_conservative,
    conservative_collateral,
    conservative_labels,
)
from atomic_margin.margin.models.expected_shortfall.document import ExpectedShortfallModel
from atomic_margin.margin.models.expected_shortfall.exact import (
    GAIN_CAP,
    compile_exact_weights,
    exact_collateral,
    tail_slack,
)
from atomic_margin.margin.models.expected_shortfall.reference import (
    expected_shortfall,
    surplus_by_move,
    tail_row,
    value_at_risk,
)
from atomic_margin.margin.models.initial_margin import check_collateral, check_unchanged
from atomic_margin.margin.models.interface import AccountRows, Reference
from atomic_margin.margin.models.surplus import RowSurplus
from atomic_margin.margin.models.universe import LedgerModel, Published
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.slack_matrix import ExactMatrix


class ExpectedShortfallRules(LedgerModel[ExpectedShortfallModel]):
    """Expected shortfall of the moves of an `ExpectedShortfallModel`."""

    NAME = "expected_shortfall"
    DOCUMENT = ExpectedShortfallModel
    FORMS = ("conservative", "exact")
    EXAMPLE = "expected-shortfall/model.json"

    @property
    def labels(self) -> tuple[str, ...]:
        """Corners of the cover, or moves where there is none."""
        return conservative_labels(self.document)

    @property
    def spot_moves(self) -> SpotMoves:
        """No move, then every move in full."""
        return self.document.spot_moves

    def check_initial_margin(self, schedule: CollateralSchedule) -> None:
        """Ask for as many moves of nothing as the tail has, and for collateral with room, unless both kinds are one.

        Expected shortfall is then never a gain, and it is convex, so F times the losses have at least F times as much.
        """
        if self.document.initial_factor > 1:
            check_unchanged(self.document.scenarios, self.document.depth)
            check_collateral(self.spot_moves, schedule)

    def rows(self, universe: Universe, market: Market, form: Form = "conservative") -> Rows:
        """Return a row for each corner, or the margin row and a validity row for each move."""
        self.require_form(form)
        if form == "exact":
            return compile_exact_weights(self.document, universe, market)
        return Rows(compile_conservative(self.document, universe, market))

    def collateral(
        self, schedule: CollateralSchedule, market: Market, posted: Mapping[str, int], form: Form = "conservative"
    ) -> CollateralValues:
        """Return collateral now less the bound, or the moves, of its own losses."""
        self.require_form(form)
        value = exact_collateral if form == "exact" else conservative_collateral
        return value(self.document, schedule, market, posted)

    def least_slack(self, matrix: ExactMatrix, z: Integers) -> Integers:
        """Return t at value at risk, and what lies beyond."""
        return tail_slack(matrix, z)

    def true_excess(self, given: AccountRows, kind: MarginKind, z: Integers) -> float:
        """Return the margin row with the least slack; t⁻ is capped, see `exact`."""
        if given.rows.slack is None:
            return super().true_excess(given, kind, z)
        depth = self.document.depth
        values = given.rows.weights.of(kind) @ z + given.collateral.of(kind)
        losses = -values[1:] / depth.denominator
        t = max(value_at_risk(losses, depth), -GAIN_CAP)
        return float(values[0] - t - np.maximum(losses - t, 0.0).sum() / float(depth))

    def reference(self, published: Published, book: Portfolio, posted: Mapping[str, int]) -> Reference:
        """Return the expected shortfall of the account; the requirement is that of the positions, plus charges."""
        universe, market, schedule = published.universe, published.market, published.schedule
        true = expected_shortfall(self.document, universe, market, schedule, book, posted)
        worst = self.document.labels[int(true.losses.argmax())]
        return Reference(
            model=self.name,
            excess={kind: true.of(kind) for kind in KINDS},
            requirement={"maintenance": true.maintenance_requirement, "initial": true.initial_requirement},
            worst=dict.fromkeys(KINDS, worst),
            mark_to_market=true.profit + true.collateral,
            details={
                "expected_shortfall": true.maintenance_shortfall,
                "value_at_risk": true.value_at_risk,
                "charges": true.charges,
                "profit": true.profit,
                "collateral": true.collateral,
            },
        )

    def scenario_surplus(self, published: Published, book: Portfolio, posted: Mapping[str, int]) -> RowSurplus:
        """Return what is left after each move; the excess is their average over the tail."""
        return surplus_by_move(self.document, published.universe, published.market, published.schedule, book, posted)

    def binding_row(
        self, published: Published, book: Portfolio, posted: Mapping[str, int], kind: MarginKind
    ) -> BindingRow:
        """Return the average over the moves in the tail."""
        return tail_row(self.document, published.universe, published.market, published.schedule, book, posted, kind)
