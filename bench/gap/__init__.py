"""The gap between true excess and what integers say of it: measured for one account, and over many.

For the command line, tests and measurements; it stands on `margin` and does no I/O. docs/gap.md has the figures.

    account = Desk(model, published, posted).measure(book, bits=(20, 24))
    account.reference.excess["initial"], account.forms[0].integer["initial"], account.gaps("initial")[0].total
"""

from atomic_margin.bench.gap.desk import Desk
from atomic_margin.bench.gap.forms import AccountExcess, FormExcess, Gap
from atomic_margin.bench.gap.generated import ExampleDocuments, case_accounts, generated_accounts, measure_case
from atomic_margin.bench.gap.table import LEAST_REQUIREMENT, Line, Share, Tally

__all__ = [
    "LEAST_REQUIREMENT",
    "AccountExcess",
    "Desk",
    "ExampleDocuments",
    "FormExcess",
    "Gap",
    "Line",
    "Share",
    "Tally",
    "case_accounts",
    "generated_accounts",
    "measure_case",
]
