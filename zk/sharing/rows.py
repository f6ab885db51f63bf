"""One row A_r z + c_r of a shared book, and shares of it: what custodians send to the one that closes an opening.

Anyone may call it. Shares are linear, so a custodian makes its share of a row alone (`zk.sharing.open_row`), and
everyone computes from the deal what that share must be an opening of. So a wrong one is named, and nobody can invent a
breach.

    row share      01 | hash of the deal, 32 bytes | point, 2 bytes | value | blinding
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from atomic_margin.zk.commitments import row_commitment
from atomic_margin.zk.errors import OtherDeal, SharesInvalid, StatementError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, Point
from atomic_margin.zk.sharing.check import deal_points
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.statements import checks
from atomic_margin.zk.vectors import powers


@dataclass(frozen=True)
class Row:
    """Weights and offset of one row over the entries of a deal.

    Raises:
        StatementError: another number of weights than entries, or a number of 2^48 or more in absolute value.
    """

    deal: Deal
    weights: tuple[int, ...]
    offset: int

    def __post_init__(self) -> None:
        high = checks.WEIGHT_BOUND - 1
        object.__setattr__(self, "weights", checks.integers("weights", self.weights, -high, high))
        checks.integer("offset", self.offset, -high, high)
        if len(self.weights) != self.deal.statement.entries:
            raise StatementError(f"{len(self.weights)} weights for {self.deal.statement.entries} entries")

    def points(self, group: Group, known: dict[bytes, Point] | None = None) -> list[Point]:
        """Return the row's coefficients in the exponent; the first is the commitment to the row itself.

        Raises:
            PointEncodingError: a commitment of the statement does not decode.
            SharingEncodingError: one of the deal does not.
        """
        first, *others = deal_points(self.deal, group, known)
        weights = group.scalars(self.weights)
        return [
            row_commitment(group, first, self.weights, self.offset),
            *(group.msm(column, weights) for column in others),
        ]


@dataclass(frozen=True)
class RowShare:
    """A custodian's share of the value and of the blinding of one row. Neither appears in its ``repr``."""

    custodian: int
    deal: bytes
    value: int = field(repr=False)
    blinding: int = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return version, hash, point and both shares: a custodian's shares of a book with one entry."""
        return Shares(self.custodian, self.deal, (self.value,), (self.blinding,)).to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, deal: Deal) -> "RowShare":
        """Read the share of one of the deal's custodians.

        Raises:
            SharingEncodingError: length, version or point are not what they must be, or a scalar is not below the
                group order.
        """
        shares = Shares.from_bytes(data, deal.statement, entries=1)
        return cls(shares.custodian, shares.deal, shares.values[0], shares.blindings[0])


def check_row_share(row: Row, points: Sequence[Point], share: RowShare, custodian: int, group: Group) -> None:
    """Check what the custodian at point ``custodian`` sent as its share of ``row``; returning means it is.

    ``points`` are what ``row.points`` returns: computed once for all custodians.

    Raises:
        OtherDeal: it is of another deal, or of another custodian.
        SharesInvalid: it is not the custodian's share of this row.
    """
    if share.deal != row.deal.hash or share.custodian != custodian:
        raise OtherDeal(f"the share of the row is not one of point {custodian} in this deal: ask that custodian again")
    generators = load_generators(group, 0)
    opened = group.msm([generators.value, generators.blinding], group.scalars((share.value, share.blinding)))
    if opened != group.msm(points, powers(group, group.scalar(custodian), len(points))):
        raise SharesInvalid(custodian, entry=None)
