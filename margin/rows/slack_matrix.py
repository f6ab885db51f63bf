"""Integer rows with slack: margin rows that stay exact at a kink (max, positive part, expected shortfall).

Shared by all parties; only the sufficiency proof uses these rows. Beside the portfolio vector z an account chooses,
anew in each run, slack values u >= 0. Row r, in units of 2^unit_exponent USD, is

    (A z)_r + c_r + (S u)_r  >=  0

*Margin rows* are the account's surplus less what slack stands for. *Validity rows* bound slack from below by a part of
the book: a dishonest choice fails a row, a generous one only costs surplus. A and c are rounded down in both, which
forces slack up: the integers never see a larger excess than there is. The last values of u may be *switches*, 0 or 1,
for terms that are not concave in the book; their coefficients are in USD, large enough to lift a row, and rounded like
A.

>>> plain = MarginMatrix("maintenance", "proof", 0, ("up", "kink"), [[5], [-2]], [10, 0], "00" * 32, "11" * 32)
>>> exact = ExactMatrix(plain, [[-1], [1]], ("u",), (9,), 0, [False, True])
>>> exact_surplus(exact, np.array([3]), np.array([6])).tolist()
[19, 0]
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atomic_margin.documents.canonical import CanonicalValue, canonical_hash
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.errors import SlackOutOfRange, SlackTooSmall
from atomic_margin.margin.rows.matrix import MAX_ENTRY, Integers, MarginMatrix
from atomic_margin.margin.rows.rows import Booleans, frozen

FORMAT = "atomic-margin/exact-matrix/1"
MAX_SLACK = 2048
MAX_WIDTH = 62


@dataclass(frozen=True, eq=False)
class ExactMatrix:
    """Integer rows with slack, of one kind; immutable, compared by content.

    Attributes:
        matrix: A and c over the portfolio vector, place "proof", with unit and labels.
        slack: S, int64 of shape (R, M + B), read-only; the switches are its last B columns.
        slack_labels: M + B labels, unique.
        slack_widths: value j lies in [0, 2^slack_widths[j]), and says so by a range proof; a switch has width 1.
        switches: B.
        validity: (R,) true for rows that only bound slack; false for margin rows, to which a top-up is added.
    """

    matrix: MarginMatrix
    slack: Integers
    slack_labels: tuple[str, ...]
    slack_widths: tuple[int, ...]
    switches: int
    validity: Booleans

    def __post_init__(self) -> None:
        object.__setattr__(self, "slack", frozen(np.asarray(self.slack), np.int64))
        object.__setattr__(self, "validity", frozen(np.asarray(self.validity), np.bool_))
        object.__setattr__(self, "slack_labels", tuple(self.slack_labels))
        object.__setattr__(self, "slack_widths", tuple(self.slack_widths))
        rows, size = self.matrix.rows, len(self.slack_labels)
        _require(self.matrix.place == "proof", "matrix.place", '"proof"')
        _require(size <= MAX_SLACK and len(set(self.slack_labels)) == size, "slack_labels", "different labels")
        _require(all(isinstance(item, str) for item in self.slack_labels), "slack_labels", "a list of strings")
        _require(
            len(self.slack_widths) == size and all(1 <= width <= MAX_WIDTH for width in self.slack_widths),
            "slack_widths",
            f"a width from 1 to {MAX_WIDTH} for each label",
        )
        _require(0 <= self.switches <= size, "switches", "the number of switches")
        tail = self.slack_widths[size - self.switches :]
        _require(all(width == 1 for width in tail), "slack_widths", "1 for every switch")
        _require(self.slack.shape == (rows, size), "slack", "a row for each label, a coefficient for each slack label")
        _require(bool((np.abs(self.slack) <= MAX_ENTRY).all()), "slack", f"at most {MAX_ENTRY} in magnitude")
        _require(self.validity.shape == (rows,), "validity", "a 0 or 1 for each row")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExactMatrix):
            return NotImplemented
        return self.to_canonical() == other.to_canonical()

    def __hash__(self) -> int:
        return hash(self.hash())

    @property
    def margin_rows(self) -> Integers:
        """Indices of the rows that are surpluses of the account."""
        found: Integers = np.flatnonzero(~self.validity).astype(np.int64)
        return found

    def hash(self) -> str:
        """Return the SHA-256, in hex, of the canonical form."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        return canonical_hash("exact-matrix", self.to_canonical())

    def to_canonical(self) -> dict[str, CanonicalValue]:
        """Return the canonical form; rows of S are comma-joined integers, empty if there is no slack."""
        return {
            "format": FORMAT,
            "matrix": self.matrix.to_canonical(),
            "slack_labels": list(self.slack_labels),
            "slack_widths": [str(width) for width in self.slack_widths],
            "slack": [",".join(map(str, row)) for row in self.slack.tolist()],
            "switches": str(self.switches),
            "validity": "".join("01"[int(flag)] for flag in self.validity),
        }


def exact_surplus(matrix: ExactMatrix, z: Integers, u: Integers) -> Integers:
    """Return A z + c + S u, int64 of shape (R,), in units; all of it non-negative means covered.

    Raises:
        EntryOutOfRange: ``z`` is no vector of N digits.
        SlackOutOfRange: ``u`` is no int64 vector of M + B values within their widths.
        SlackTooSmall: naming the first validity row that is negative.
    """
    size = len(matrix.slack_labels)
    if u.shape != (size,) or u.dtype != np.int64:
        raise SlackOutOfRange(f"an int64 vector of {size} slack values is wanted, got {u.dtype} of shape {u.shape}")
    for label, width, value in zip(matrix.slack_labels, matrix.slack_widths, u.tolist(), strict=True):
        if not 0 <= value < 1 << width:
            raise SlackOutOfRange(f"slack {label!r} is {value}; it lies from 0 to 2^{width} - 1")
    rows: Integers = matrix.matrix.surplus(z) + matrix.slack @ u
    for index in np.flatnonzero(matrix.validity & (rows < 0))[:1]:
        raise SlackTooSmall(matrix.matrix.labels[index], -int(rows[index]))
    return rows


def _require(good: bool, name: str, right: str) -> None:
    if not good:
        raise MalformedDocument(name, f"{right} is wanted here")
