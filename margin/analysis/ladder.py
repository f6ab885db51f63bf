"""The ladder: what an account has left now and in every scenario of its model.

For `scan` and `cross_margin` the least rung is the excess. Under `expected_shortfall` a rung is what is left after one
move alone, and the excess is the average of the worst ones. For the models of cases rungs are their scenarios,
and their charge for the basis.
"""

from dataclasses import dataclass

import numpy as np

from atomic_margin.margin.analysis.account import Account
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.models.case import AnyCase, OpenCase
from atomic_margin.margin.models.surplus import RowSurplus
from atomic_margin.margin.rows.least_slack import true_rows

# Rows are taken before rounding, so the width decides nothing but the size of the cash lot, which cases do not have.
_BITS = 24


@dataclass(frozen=True)
class Rung:
    """What is left in one scenario, USD; negative for a deficit.

    Attributes:
        label: of the scenario.
        maintenance: under maintenance margin.
        initial: under initial margin, whose moves are larger.
    """

    label: str
    maintenance: float
    initial: float

    def of(self, kind: MarginKind) -> float:
        """Return what is left under one kind."""
        return self.maintenance if kind == "maintenance" else self.initial


@dataclass(frozen=True)
class Ladder:
    """An account in every scenario.

    Attributes:
        model: name of the margin model.
        now: value of the account with no move and no charge, USD: profit so far and collateral.
        rungs: scenarios, in the model's order.
    """

    model: str
    now: float
    rungs: tuple[Rung, ...]

    def least(self, kind: MarginKind) -> Rung:
        """Return the scenario that leaves least."""
        return min(self.rungs, key=lambda rung: rung.of(kind))


def ladder(account: Account | AnyCase) -> Ladder:
    """Return what an account, or a case, has left in every scenario, before rounding.

    Raises:
        DocumentError: the documents do not fit together.
        LotsTooLarge: a case has quantities of more digits than lots can be made for.
    """
    if isinstance(account, OpenCase):
        surplus = _of_case(account)
        now = account.model.reference(account.published, account.book, account.posted).mark_to_market
    else:
        surplus = account.model.scenario_surplus(account.published, account.book, account.posted)
        now = account.reference().mark_to_market
    rungs = zip(surplus.labels, surplus.maintenance.tolist(), surplus.initial.tolist(), strict=True)
    return Ladder(account.model.name, now, tuple(Rung(*rung) for rung in rungs))


def _of_case(case: AnyCase) -> RowSurplus:
    model, published = case.model, case.published
    limit = model.gross_limit(published, case.book)
    columns = model.columns(published, limit, _BITS)
    z = model.encode(published, case.book, columns)
    given = model.account_rows(published, case.posted, columns, limit, model.FORMS[-1])
    rows, slack = given.rows, given.rows.slack
    labels = rows.labels if slack is None else tuple(rows.labels[i] for i in (~slack.validity).nonzero()[0])
    found = [true_rows(rows, given.collateral, kind, z) for kind in KINDS]
    # A scenario with kinks has several rows, the least of which is its own.
    scenario = np.array([_scenario(label, model.scenario_labels) for label in labels])
    names = tuple(dict.fromkeys(scenario.tolist()))
    least = [np.array([values[scenario == name].min() for name in names]) for values in found]
    return RowSurplus(names, *least)


def _scenario(row: str, labels: tuple[str, ...]) -> str:
    """Return the scenario that a row is of: its own label, or the longest that it begins with."""
    return max((label for label in labels if f"{row} ".startswith(f"{label} ")), key=len, default=row)
