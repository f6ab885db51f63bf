"""What an analyst asks of a margin: the excess scenario by scenario, line by line, between two ticks, after a trade.

Pure, on plain floating point and on the references of the models; nothing here is compared between parties. It stands
on `margin.models`, and the command line and whoever writes a notebook import it. docs/analyst.md shows all of it.

    account = Account(model, Published(universe, market, schedule), book, posted)
    ladder(account), contributions(account, "initial"), explain(account, later), what_if(account, trades)
    call_of(account.reference().excess, model.minimum_transfer_amount)
"""

from atomic_margin.margin.analysis.account import Account
from atomic_margin.margin.analysis.agreement import Standing, standing
from atomic_margin.margin.analysis.call import Call, call_of
from atomic_margin.margin.analysis.contributions import Contribution, Contributions, contributions
from atomic_margin.margin.analysis.explain import FACTORS, Effect, Explanation, explain
from atomic_margin.margin.analysis.ladder import Ladder, Rung, ladder
from atomic_margin.margin.analysis.what_if import WhatIf, what_if

__all__ = [
    "FACTORS",
    "Account",
    "Call",
    "Contribution",
    "Contributions",
    "Effect",
    "Explanation",
    "Ladder",
    "Rung",
    "Standing",
    "WhatIf",
    "call_of",
    "contributions",
    "explain",
    "ladder",
    "standing",
    "what_if",
]
