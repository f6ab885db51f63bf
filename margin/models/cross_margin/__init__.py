"""The margin model `cross_margin`: one portfolio over several venues and collateral pools. No I/O here.

    model = CrossMarginModel.parse(json.loads(text))
    cross_margin(model, universe, market, schedule, portfolio, posted)      # plain floating point
    weights = compile_cuts(model, universe, market)                         # rows for `compile_run`, nothing lost
    collateral = cut_collateral(model, schedule, market, posted)
    exact = compile_exact_cross(model, universe, market)                    # fewer rows, with slack

See docs/margin-cross-margin.md; `pieces` has the proof.
"""

from atomic_margin.margin.models.cross_margin.document import (
    CENTRAL,
    CrossMarginModel,
    CrossScenario,
    OffsetSet,
    PoolHoldings,
    Venue,
    check_pools,
    check_venues,
)
from atomic_margin.margin.models.cross_margin.exact import compile_exact_cross, exact_cross_collateral
from atomic_margin.margin.models.cross_margin.joint import Factor, JointDistribution, generate_moves
from atomic_margin.margin.models.cross_margin.reference import CrossMargin, contributions, cross_margin
from atomic_margin.margin.models.cross_margin.rows import CutForm, compile_cuts, cut_collateral

__all__ = [
    "CENTRAL",
    "CrossMargin",
    "CrossMarginModel",
    "CrossScenario",
    "CutForm",
    "Factor",
    "JointDistribution",
    "OffsetSet",
    "PoolHoldings",
    "Venue",
    "check_pools",
    "check_venues",
    "compile_cuts",
    "compile_exact_cross",
    "contributions",
    "cross_margin",
    "cut_collateral",
    "exact_cross_collateral",
    "generate_moves",
]
