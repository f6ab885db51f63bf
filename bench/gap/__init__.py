"""The gap between true excess and what integers say of it: measured for one account, and over many.

For the command line, tests and measurements; it stands on `margin` and does no I/O. docs/gap.md has the figures.

    account = measure_pmrm(case, parameters, bits=(20, 24))
    account.reference.margin["initial"], account.forms[0].integer["initial"], account.gaps("initial")[0].total
"""

from atomic_margin.bench.gap.accounts import Desk, cross_margin_desk, expected_shortfall_desk, scan_desk
from atomic_margin.bench.gap.cases import measure_pmrm, measure_pmrm2
from atomic_margin.bench.gap.forms import AccountMargin, FormMargin, Gap, Reference
from atomic_margin.bench.gap.generated import MODELS, ExampleDocuments, case_accounts, generated_accounts
from atomic_margin.bench.gap.table import LEAST_REQUIREMENT, Line, Share, Tally

__all__ = [
    "LEAST_REQUIREMENT",
    "MODELS",
    "AccountMargin",
    "Desk",
    "ExampleDocuments",
    "FormMargin",
    "Gap",
    "Line",
    "Reference",
    "Share",
    "Tally",
    "case_accounts",
    "cross_margin_desk",
    "expected_shortfall_desk",
    "generated_accounts",
    "measure_pmrm",
    "measure_pmrm2",
    "scan_desk",
]
