"""The least slack a book needs: in integers for a proof, in floating point to tell what rows cost before rounding.

For the institution and for measurements. Each validity row holds one slack value here; where it holds several (expected
shortfall) the model has a solver of its own.

>>> from atomic_margin.margin.rows.matrix import MarginMatrix
>>> plain = MarginMatrix("maintenance", "proof", 0, ("up", "kink"), [[5], [-2]], [10, 0], "00" * 32, "11" * 32)
>>> least_slack(ExactMatrix(plain, [[-1], [1]], ("u",), (9,), 0, [False, True]), np.array([3])).tolist()
[6]
"""

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.errors import SlackNeedsSolver
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.entries import check_entries
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rows import Booleans, Rows
from atomic_margin.margin.rows.slack_matrix import ExactMatrix


def least_slack(matrix: ExactMatrix, z: Integers) -> Integers:
    """Return the least slack all validity rows allow, int64 of shape (M + B,), in units.

    Switches are set one after the other to the value that needs less slack in all.

    Raises:
        EntryOutOfRange: ``z`` is no vector of N digits.
        SlackNeedsSolver: a validity row holds two slack values.
    """
    first = len(matrix.slack_labels) - matrix.switches
    rows = matrix.matrix.surplus(z)
    plain, switch = matrix.slack[:, :first], matrix.slack[:, first:]
    # Sums stay far below 2^53, so floats hold whole numbers without rounding.
    return np.ceil(_least(rows.astype(np.float64), plain, switch, matrix.validity)).astype(np.int64)


def true_rows(rows: Rows, collateral: CollateralValues, kind: MarginKind, z: Integers) -> Floats:
    """Return the margin rows of one kind before any rounding, USD, in the order of their labels; slack is the least.

    Raises:
        EntryOutOfRange: ``z`` is no vector of N digits.
        SlackNeedsSolver: a validity row holds two slack values.
    """
    check_entries(z, len(rows.weights.entries))
    values: Floats = rows.weights.of(kind) @ z + collateral.of(kind)
    slack = rows.slack
    if slack is None:
        return values
    plain, switch = slack.of(kind), slack.switch(kind)
    u = _least(values, plain, switch, slack.validity)
    surplus: Floats = (values + np.concatenate([plain, switch], axis=1) @ u)[~slack.validity]
    return surplus


def _least(rows: Floats, plain: Integers, switch: Floats | Integers, validity: Booleans) -> Floats:
    """Return (M + B,) least slack and switches for rows A z + c."""
    if (((plain != 0).sum(axis=1) > 1) & validity).any() or (plain[validity] < 0).any():
        raise SlackNeedsSolver("a validity row holds several slack values: ask the model for its slack")
    bound, owner = np.nonzero((plain > 0) & validity[:, None])
    bare = np.flatnonzero(validity & ~(plain > 0).any(axis=1))

    def need(now: Floats) -> Floats:
        u = np.zeros(plain.shape[1])
        np.maximum.at(u, owner, -now[bound] / plain[bound, owner])
        return u

    on = np.zeros(switch.shape[1])
    for index in range(len(on)):
        # A row without slack that only the switch can lift decides it; otherwise the side that needs less slack does.
        lifted = rows + switch[:, index]
        costs = [(-np.minimum(now[bare], 0).sum(), need(now).sum()) for now in (rows, lifted)]
        if costs[1] < costs[0]:
            on[index], rows = 1.0, lifted
    return np.concatenate([need(rows), on])
