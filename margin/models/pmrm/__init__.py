"""Scenario portfolio margin, first version (`pmrm`): the outside case format and the plain floating-point reference.

Options, perpetuals, spot collateral and cash on one underlying. Specification: ``data/pmrm/README.md`` of the shared
vectors. No I/O and no integer rows here; `atomic_margin.margin.models.pmrm2` is the second version.

    cases = parse_cases(json.loads(text))                 # {name: PmrmCase}
    parameters = parse_parameters(json.loads(other), "vectors")
    pmrm_margin(cases["Test1"], parameters).initial_excess
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
