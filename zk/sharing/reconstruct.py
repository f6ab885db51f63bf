"""Put shares together again. For an institution that lost its openings: whoever calls this can read the book.

>>> reconstruct.__name__
'reconstruct'
"""

from collections.abc import Sequence

from atomic_margin.zk.errors import TooFewShares
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.deal import SharingWitness
from atomic_margin.zk.sharing.interpolation import lagrange, weighted
from atomic_margin.zk.sharing.messages import Deal, Shares


def reconstruct(deal: Deal, shares: Sequence[Shares], group: Group | None = None) -> SharingWitness:
    """Return the openings of the statement's commitments from the shares of at least t custodians.

    All shares are checked. Leave out those of a custodian that an error names, and call again.

    Raises:
        TooFewShares: they are of fewer custodians than the threshold, or of one of them twice.
        OtherDeal: one has shares of another deal.
        SharesInvalid: one has wrong shares; names it and the entry.
    """
    group = group or load_group()
    require_enough(deal, [one.custodian for one in shares])
    known: dict[bytes, Point] = {}
    for one in shares:
        check_shares(deal, one, one.custodian, group, known)
    chosen = shares[: deal.statement.threshold]
    factors = lagrange([one.custodian for one in chosen])
    values = weighted(factors, [one.values for one in chosen])
    return SharingWitness(values, weighted(factors, [one.blindings for one in chosen]))


def require_enough(deal: Deal, points: Sequence[int]) -> None:
    """Make sure that ``points`` are those of enough different custodians.

    Raises:
        TooFewShares: they are not.
    """
    threshold = deal.statement.threshold
    if len(set(points)) < len(points):
        twice = next(point for index, point in enumerate(points) if point in points[:index])
        raise TooFewShares(f"shares of point {twice} are there twice: give those of {threshold} different custodians")
    if len(points) < threshold:
        raise TooFewShares(f"shares of {len(points)} custodians, it takes {threshold}: ask another one")
