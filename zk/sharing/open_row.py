"""Shares of one row made, and put together. For custodians: whoever has t of them knows the row's value.

The closer of an opening needs no more for its proofs, `zk.prove.opened_breach` and `zk.prove.lack`: value and blinding
open the commitment to the row. It must not publish either.

>>> open_row.__name__
'open_row'
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from atomic_margin.zk.errors import OtherDeal, WitnessError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, Group, Point, load_group
from atomic_margin.zk.sharing.interpolation import lagrange, weighted
from atomic_margin.zk.sharing.messages import Shares
from atomic_margin.zk.sharing.reconstruct import require_enough
from atomic_margin.zk.sharing.rows import Row, RowShare, check_row_share


@dataclass(frozen=True)
class RowOpening:
    """A row's value, as a signed integer, and its blinding. Neither appears in its ``repr``."""

    value: int = field(repr=False)
    blinding: int = field(repr=False)

    def check(self, commitment: Point, group: Group) -> None:
        """Check that this opens the commitment to a row.

        Raises:
            WitnessError: it does not.
        """
        bases = load_generators(group, 0)
        if group.msm([bases.value, bases.blinding], group.scalars((self.value, self.blinding))) != commitment:
            raise WitnessError("the opening is not that of the row: put it together from shares of this very row")


def share_row(row: Row, shares: Shares) -> RowShare:
    """Return a custodian's share of ``row`` from its shares of the entries, which it has checked.

    Raises:
        OtherDeal: the shares are of another deal.
    """
    if shares.deal != row.deal.hash:
        raise OtherDeal("the shares are of another deal than the row")
    value = sum(weight * share for weight, share in zip(row.weights, shares.values, strict=True)) + row.offset
    blinding = sum(weight * share for weight, share in zip(row.weights, shares.blindings, strict=True))
    return RowShare(shares.custodian, shares.deal, value % ORDER, blinding % ORDER)


def open_row(row: Row, shares: Sequence[RowShare], group: Group | None = None) -> RowOpening:
    """Return the opening of ``row`` from the shares of at least t custodians, all of which are checked.

    Raises:
        TooFewShares: they are of fewer custodians than the threshold, or of one of them twice.
        OtherDeal: one has a share of another deal.
        SharesInvalid: one has a wrong share; names it.
    """
    group = group or load_group()
    require_enough(row.deal, [one.custodian for one in shares])
    points = row.points(group)
    for one in shares:
        check_row_share(row, points, one, one.custodian, group)
    chosen = shares[: row.deal.statement.threshold]
    factors = lagrange([one.custodian for one in chosen])
    value, blinding = weighted(factors, [(one.value, one.blinding) for one in chosen])
    return RowOpening(value - ORDER if value > ORDER // 2 else value, blinding)
