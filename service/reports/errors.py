"""Why no report is made, in one tree.

ReportError
├── HistoryUnusable        a history, a bundle or a tick that is none, or is not what its hashes and signatures say
├── NothingToReport        no such account, run, day or week in what was given
├── PricesMissing          a tick is not among those given, or does not price what is held
└── NotReconciled          opening balances and movements do not come to the closing ones, or a document to its moves
"""

from atomic_margin.service.errors import ServiceError


class ReportError(ServiceError):
    """Root of the errors of `atomic_margin.service.reports`. The message tells a person what to do next."""


class HistoryUnusable(ReportError):
    """A history, a bundle or a tick does not hold."""


class NothingToReport(ReportError):
    """What was asked for is not in the history."""


class PricesMissing(ReportError):
    """A value is asked for at prices that are not there."""


class NotReconciled(ReportError):
    """Balances do not add up; no report is made of them."""
