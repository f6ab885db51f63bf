"""Scenario portfolio margin, first version (`pmrm`): case format, plain reference, rows.

Options, perpetuals, spot collateral and cash on one underlying; integer rows by way of `models.portfolio_margin`,
which it shares with the second version, `models.pmrm2`. Neither imports the other. No I/O here. Formulas and their
source: docs/margin-pmrm.md.

    case = parse_cases(json.loads(text))["Mine"]                            # {name: case}
    parameters = parse_parameters(json.loads(other), "set")
    pmrm_margin(case, parameters).initial_excess                            # plain floating point
    compile_case(case, parameters)                                          # rows of A and c, and z
"""

from atomic_margin.margin.models.pmrm.cases import (
    PmrmAccount,
    PmrmCase,
    PmrmLedger,
    PmrmMarket,
    PmrmScenario,
    parse_cases,
)
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters, SpotVolShock, parse_parameters
from atomic_margin.margin.models.pmrm.reference import PmrmMargin, pmrm_margin
from atomic_margin.margin.models.pmrm.rows import compile_case

__all__ = [
    "PmrmAccount",
    "PmrmCase",
    "PmrmLedger",
    "PmrmMargin",
    "PmrmMarket",
    "PmrmParameters",
    "PmrmScenario",
    "SpotVolShock",
    "compile_case",
    "parse_cases",
    "parse_parameters",
    "pmrm_margin",
]
