"""The margin model `expected_shortfall`: the average of the worst historical moves, plus charges.

Exact with slack values for the sufficiency proof, and in a few slack-free rows for circuits. No I/O here.

    model = ExpectedShortfallModel.parse(json.loads(text))
    expected_shortfall(model, universe, market, schedule, portfolio, posted)        # plain floating point
    weights = compile_conservative(model, universe, market)                         # rows for `compile_run`
    exact = compile_exact_weights(model, universe, market)                          # rows for `compile_exact`

See docs/margin-expected-shortfall.md.
"""

from atomic_margin.margin.models.books import KINDS_OF_BOOK, sample_books, vectors
from atomic_margin.margin.models.expected_shortfall.conservative import (
    TailForm,
    compile_conservative,
    conservative_collateral,
)
from atomic_margin.margin.models.expected_shortfall.cover import check_cover, tail_average
from atomic_margin.margin.models.expected_shortfall.document import Cover, ExpectedShortfallModel
from atomic_margin.margin.models.expected_shortfall.exact import (
    GAIN_CAP,
    compile_exact_weights,
    exact_collateral,
    tail_slack,
)
from atomic_margin.margin.models.expected_shortfall.fitting import fit_cover
from atomic_margin.margin.models.expected_shortfall.reference import (
    ExpectedShortfall,
    expected_shortfall,
    value_at_risk,
)
from atomic_margin.margin.models.moves import JointMove, Values, check_moves, revalue_moves

__all__ = [
    "GAIN_CAP",
    "KINDS_OF_BOOK",
    "Cover",
    "ExpectedShortfall",
    "ExpectedShortfallModel",
    "JointMove",
    "TailForm",
    "Values",
    "check_cover",
    "check_moves",
    "compile_conservative",
    "compile_exact_weights",
    "conservative_collateral",
    "exact_collateral",
    "expected_shortfall",
    "fit_cover",
    "revalue_moves",
    "sample_books",
    "tail_average",
    "tail_slack",
    "value_at_risk",
    "vectors",
]
