"""True and integer excess of books under `scan`, `expected_shortfall` and `cross_margin`, which share their documents.

The requirement is that of the positions alone, without collateral: the largest loss the model sees (expected shortfall,
or the worst scenario of all venues together) plus charges, at least 0. Mark to market is profit so far plus collateral
after haircut.

    desk = scan_desk(model, universe, market, schedule, posted)
    desk.measure(portfolio, gross_limit=64_000_000, bits=(20, 24)).gaps("initial")
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atomic_margin.bench.gap.forms import AccountMargin, Reference, Rows, both
from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues, collateral_values
from atomic_margin.margin.errors import TooManyCuts
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio, check_gross, encode
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin import (
    CrossMarginModel,
    compile_cuts,
    compile_exact_cross,
    cross_margin,
    cut_collateral,
    exact_cross_collateral,
)
from atomic_margin.margin.models.cross_margin.values import lot_values
from atomic_margin.margin.models.expected_shortfall import (
    GAIN_CAP,
    ExpectedShortfallModel,
    compile_conservative,
    compile_exact_weights,
    conservative_collateral,
    exact_collateral,
    expected_shortfall,
    tail_slack,
    value_at_risk,
)
from atomic_margin.margin.models.moves import JointMove, as_scan, lots_of, revalue_moves
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.margin.models.scan.reference import true_surplus
from atomic_margin.margin.models.scan.weights import compile_weights
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.slack_matrix import ExactWeights


@dataclass(frozen=True)
class Desk:
    """A model at one market with collateral posted, for any number of books.

    Attributes:
        entry_map: names the columns of every form.
        rows: of every form.
        reference: the plain reference.
        problem: why a form is missing, if one is.
    """

    entry_map: EntryMap
    rows: tuple[Rows, ...]
    reference: Callable[[Portfolio], Reference]
    problem: str | None = None

    def measure(self, portfolio: Portfolio, gross_limit: int, bits: Sequence[int] = (20,)) -> AccountMargin:
        """Return true and integer excess of a book.

        Args:
            portfolio: the book.
            gross_limit: G, whole USD.
            bits: widths of FHE rows.

        Raises:
            UnknownInstrument, LotsTooLarge: the book does not fit the universe.
            GrossLimitExceeded: the book is larger than ``gross_limit``.
            GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with a width.
        """
        z = encode(portfolio, self.entry_map)
        check_gross(z, self.entry_map, gross_limit)
        return AccountMargin(
            reference=self.reference(portfolio),
            gross=self.entry_map.gross(z),
            gross_limit=gross_limit,
            forms=tuple(form for item in self.rows for width in bits for form in item.margins(z, gross_limit, width)),
            problem=self.problem,
        )


def scan_desk(
    model: ScanModel, universe: Universe, market: Market, schedule: CollateralSchedule, posted: Mapping[str, int]
) -> Desk:
    """Return the desk of a `scan` model, which has slack-free rows only: they lose nothing before rounding.

    Raises:
        DocumentError: the documents do not fit together.
    """
    entries, weights = EntryMap.of(universe), compile_weights(model, universe, market)
    still = _still(model.scenarios[0].spot)
    here = as_scan([still], model.charges, model.initial_factor)
    now = float(collateral_values(schedule, here, market, posted).maintenance[0])

    def reference(portfolio: Portfolio) -> Reference:
        true = true_surplus(model, universe, market, schedule, portfolio, posted)
        return Reference(
            model="scan",
            margin={kind: float(true.of(kind).min()) for kind in KINDS},
            requirement={"maintenance": true.maintenance_requirement, "initial": true.initial_requirement},
            worst={kind: true.worst(kind) for kind in KINDS},
            mark_to_market=true.profit + now,
            details={"min_span": -true.maintenance_requirement, "profit": true.profit, "collateral": now},
        )

    rows = Rows(weights, collateral_values(schedule, model, market, posted), entries)
    return Desk(entries, (rows,), reference)


def expected_shortfall_desk(
    model: ExpectedShortfallModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    posted: Mapping[str, int],
) -> Desk:
    """Return the desk of an `expected_shortfall` model: a cover without slack, and exact rows with slack.

    Raises:
        DocumentError: the documents do not fit together.
    """
    entries, depth = EntryMap.of(universe), model.depth

    def reference(portfolio: Portfolio) -> Reference:
        true = expected_shortfall(model, universe, market, schedule, portfolio, posted)
        return Reference(
            model="expected_shortfall",
            margin={kind: true.of(kind) for kind in KINDS},
            requirement={"maintenance": true.maintenance_requirement, "initial": true.initial_requirement},
            worst=both(model.labels[int(true.losses.argmax())]),
            mark_to_market=true.profit + true.collateral,
            details={
                "expected_shortfall": true.maintenance_shortfall,
                "value_at_risk": true.value_at_risk,
                "charges": true.charges,
                "profit": true.profit,
                "collateral": true.collateral,
            },
        )

    def least(weights: ExactWeights, collateral: CollateralValues, kind: MarginKind, z: Integers) -> float:
        """Margin row with the least slack; t⁻ is capped, see `expected_shortfall.exact`."""
        values = weights.weights.of(kind) @ z + collateral.of(kind)
        losses = -values[1:] / depth.denominator
        t = max(value_at_risk(losses, depth), -GAIN_CAP)
        return float(values[0] - t - np.maximum(losses - t, 0.0).sum() / float(depth))

    cover = compile_conservative(model, universe, market)
    slack_free = Rows(cover, conservative_collateral(model, schedule, market, posted), entries)
    exact, public = (
        compile_exact_weights(model, universe, market),
        exact_collateral(model, schedule, market, posted),
    )
    return Desk(entries, (slack_free, Rows(exact, public, entries, tail_slack, least)), reference)


def cross_margin_desk(
    model: CrossMarginModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    posted: Mapping[str, Mapping[str, int]],
) -> Desk:
    """Return the desk of a `cross_margin` model: every cut without slack, and fewer rows with slack.

    Raises:
        DocumentError: the documents do not fit together.
    """
    entries = EntryMap.of(universe)
    lots = lot_values(model, universe, market, "maintenance")
    profit = revalue_moves(model.scenarios, model.charges, universe, market).profit
    here = as_scan([_still(model.scenarios[0].spot)], model.charges, model.initial_factor)
    now = sum(float(collateral_values(schedule, here, market, held).maintenance[0]) for held in posted.values())
    factor = float(model.initial_factor)

    def reference(portfolio: Portfolio) -> Reference:
        true = cross_margin(model, universe, market, schedule, portfolio, posted)
        long, short = lots_of(portfolio, universe)
        made = float(profit @ (long - short))
        alone = max(0.0, made - float((lots.long @ long + lots.short @ short).min()))
        return Reference(
            model="cross_margin",
            margin={kind: float(true.of(kind).min()) for kind in KINDS},
            requirement={"maintenance": alone, "initial": factor * alone},
            worst={kind: true.worst(kind) for kind in KINDS},
            mark_to_market=made + now,
            details={"min_span": -alone, "profit": made, "collateral": now},
        )

    found, problem = [], None
    try:
        # Every cut, also those that matter only to a covered account: the least row is then the excess itself.
        cuts = compile_cuts(model, universe, market, form="complete")
        found.append(Rows(cuts, cut_collateral(model, schedule, market, posted, form="complete"), entries))
    except TooManyCuts as error:
        problem = f"{type(error).__name__}: {error}"
    exact = compile_exact_cross(model, universe, market)
    found.append(Rows(exact, exact_cross_collateral(model, schedule, market, posted), entries))
    return Desk(entries, tuple(found), reference, problem)


def _still(names: Mapping[str, object]) -> JointMove:
    """Return a move of nothing, to value collateral as it is."""
    nothing = dict.fromkeys(names, "0")
    return JointMove.model_validate({"label": "now", "spot": nothing, "volatility": nothing, "basis": nothing})
