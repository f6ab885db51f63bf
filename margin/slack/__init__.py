"""Exact margin rows: true weights with slack values, their integer matrices, and the checks of agent and verifier.

run = compile_exact(weights, collateral, entry_map, gross_limit)       # the server
check_exact(run, weights, collateral, entry_map, gross_limit)          # agent and verifier, own weights
u = least_slack(run.maintenance, z)                                    # the institution
exact_surplus(run.maintenance, z, u)                                   # non-negative in every row: covered
"""

from atomic_margin.margin.slack.least import least_slack, true_rows
from atomic_margin.margin.slack.matrix import ExactMatrix, ExactWeights, exact_surplus
from atomic_margin.margin.slack.units import EXACT_BITS, ExactRun, check_exact, compile_exact, slack_bounds

__all__ = [
    "EXACT_BITS",
    "ExactMatrix",
    "ExactRun",
    "ExactWeights",
    "check_exact",
    "compile_exact",
    "exact_surplus",
    "least_slack",
    "slack_bounds",
    "true_rows",
]
