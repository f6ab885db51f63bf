"""Scenario portfolio margin, second version (`pmrm2`): case format, plain reference, rows.

Against `pmrm` it has several collaterals, discounted prices, a two-sided static discount, dampened scenarios, skew
scenarios, and factors and haircuts of their own for initial and maintenance margin. No I/O here.

    case = Pmrm2Case.parse(json.loads(text))
    pmrm2_margin(case).initial_excess                                       # plain floating point
    compile_case(case)                                                      # rows of A and c, and z

Rows by way of `models.portfolio_margin`, which it shares with `pmrm`; neither imports the other. See
docs/margin-pmrm2.md.
"""

from atomic_margin.margin.models.pmrm2.cases import (
    BasisContingency,
    Collateral,
    MarginFactors,
    OptionFeed,
    OptionPosition,
    OtherContingency,
    Pmrm2Account,
    Pmrm2Case,
    Pmrm2Ledger,
    Pmrm2Market,
    Pmrm2Parameters,
    Pmrm2Scenario,
    Shock,
    SkewShock,
    VolShock,
)
from atomic_margin.margin.models.pmrm2.reference import Pmrm2Margin, pmrm2_margin
from atomic_margin.margin.models.pmrm2.rows import compile_case

__all__ = [
    "BasisContingency",
    "Collateral",
    "MarginFactors",
    "OptionFeed",
    "OptionPosition",
    "OtherContingency",
    "Pmrm2Account",
    "Pmrm2Case",
    "Pmrm2Ledger",
    "Pmrm2Margin",
    "Pmrm2Market",
    "Pmrm2Parameters",
    "Pmrm2Scenario",
    "Shock",
    "SkewShock",
    "VolShock",
    "compile_case",
    "pmrm2_margin",
]
