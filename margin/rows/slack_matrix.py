"""Rows with slack: margin rows that stay exact at a kink (max, positive part, expected shortfall), and their integers.

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
>>> exact == ExactMatrix.from_canonical(exact.to_canonical())
True
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import CanonicalValue, canonical_hash
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.errors import MatrixMismatch, NonFiniteWeight, SlackOutOfRange, SlackTooSmall
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.rows.matrix import MAX_ENTRY, Integers, MarginMatrix
from atomic_margin.margin.rows.weights import TrueWeights

Booleans = npt.NDArray[np.bool_]

FORMAT = "atomic-margin/exact-matrix/1"
MAX_SLACK = 2048
MAX_WIDTH = 62
_FIELDS = frozenset({"format", "matrix", "slack_labels", "slack_widths", "slack", "switches", "validity"})
_ROW = re.compile(r"(?:0|-?[1-9][0-9]{0,13})(?:,(?:0|-?[1-9][0-9]{0,13}))*")


def _none() -> Floats:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class ExactWeights:
    """True weights with slack, before rounding; R rows, N entries, M slack values and B switches. All read-only.

    Attributes:
        weights: true weights of the R rows in the N entries, USD.
        slack_labels: of the M slack values. A slack value is counted in units of the matrix, so every factor belongs
            into A and c, and its coefficients are small.
        slack_maintenance: (R, M) int64 coefficients, small integers.
        slack_initial: likewise.
        switch_labels: of the B switches.
        switch_maintenance: (R, B) USD, rounded down like weights, but exactly 0 stays 0; left out if there are none.
        switch_initial: likewise.
        validity: (R,) which rows bound slack; left out: those with a positive slack coefficient in either kind.
        structure: (R, N) where a weight may differ from zero; elsewhere it is zero for every price, and not rounded.
            Left out: everywhere.
        caps: (M,) USD, what a slack value never needs to exceed; inf, or left out, for what the validity rows say.
    """

    weights: TrueWeights
    slack_labels: tuple[str, ...]
    slack_maintenance: Integers
    slack_initial: Integers
    switch_labels: tuple[str, ...] = ()
    switch_maintenance: Floats = field(default_factory=_none)
    switch_initial: Floats = field(default_factory=_none)
    validity: Booleans = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    structure: Booleans = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))
    caps: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        rows, entries = self.weights.shape
        slack, switches = len(self.slack_labels), len(self.switch_labels)
        for kind in KINDS:
            object.__setattr__(self, f"slack_{kind}", _frozen(self.slack(kind), np.int64))
            given = self.switch(kind)
            object.__setattr__(self, f"switch_{kind}", read_only(given if given.size else np.zeros((rows, switches))))
        positive = (self.slack_maintenance > 0).any(axis=1) | (self.slack_initial > 0).any(axis=1)
        object.__setattr__(self, "validity", _frozen(self.validity if self.validity.size else positive, np.bool_))
        everywhere = np.ones((rows, entries), dtype=np.bool_)
        object.__setattr__(self, "structure", _frozen(self.structure if self.structure.size else everywhere, np.bool_))
        object.__setattr__(self, "caps", read_only(self.caps if self.caps.size else np.full(slack, np.inf)))
        shapes = {"validity": (rows,), "structure": (rows, entries), "caps": (slack,)}
        for kind in KINDS:
            shapes |= {f"slack_{kind}": (rows, slack), f"switch_{kind}": (rows, switches)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise MatrixMismatch(f"{name} has shape {getattr(self, name).shape}, wanted {shape}")
        if not all(np.isfinite(self.switch(kind)).all() for kind in KINDS) or np.isnan(self.caps).any():
            raise NonFiniteWeight("the coefficients of switches must be finite, and caps numbers")
        if any((self.weights.of(kind)[~self.structure] != 0).any() for kind in KINDS):
            raise MatrixMismatch("a weight outside the declared structure is not zero")

    def slack(self, kind: MarginKind) -> Integers:
        """Return the slack coefficients of one kind, (R, M)."""
        return self.slack_maintenance if kind == "maintenance" else self.slack_initial

    def switch(self, kind: MarginKind) -> Floats:
        """Return the switch coefficients of one kind, (R, B), USD."""
        return self.switch_maintenance if kind == "maintenance" else self.switch_initial


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
        object.__setattr__(self, "slack", _frozen(np.asarray(self.slack), np.int64))
        object.__setattr__(self, "validity", _frozen(np.asarray(self.validity), np.bool_))
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

    @classmethod
    def from_canonical(cls, value: object) -> "ExactMatrix":
        """Return the matrix of a canonical form; anything but exactly that form is refused.

        Raises:
            MalformedDocument, OutOfRange: naming the field.
        """
        if not isinstance(value, Mapping):
            raise MalformedDocument("$", f"a JSON object of format {FORMAT} is wanted here")
        for name in sorted(_FIELDS ^ {str(key) for key in value}):
            raise MalformedDocument(name, "missing; add it" if name in _FIELDS else "no such field; remove it")
        _require(value["format"] == FORMAT, "format", f'"{FORMAT}"')
        matrix = MarginMatrix.from_canonical(value["matrix"])
        labels, widths, rows = value["slack_labels"], value["slack_widths"], value["slack"]
        _require(isinstance(labels, list) and len(labels) <= MAX_SLACK, "slack_labels", f"at most {MAX_SLACK} labels")
        _require(isinstance(widths, list) and len(widths) == len(labels), "slack_widths", "one for each label")
        _require(isinstance(rows, list) and len(rows) == matrix.rows, "slack", "a list, one row for each label")
        flags = value["validity"]
        good = isinstance(flags, str) and len(flags) == matrix.rows and set(flags) <= {"0", "1"}
        _require(good, "validity", "a 0 or 1 for each row")
        return cls(
            matrix=matrix,
            slack=np.array(
                [_split(row, len(labels), f"slack[{index}]") for index, row in enumerate(rows)], dtype=np.int64
            ).reshape(matrix.rows, len(labels)),
            slack_labels=tuple(labels),
            slack_widths=tuple(_small(width, f"slack_widths[{index}]") for index, width in enumerate(widths)),
            switches=_small(value["switches"], "switches"),
            validity=np.array([flag == "1" for flag in flags], dtype=np.bool_),
        )


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


def _frozen(values: npt.NDArray[np.generic], kind: type[np.generic]) -> npt.NDArray[np.generic]:
    array = np.array(values, dtype=kind, order="C")
    array.flags.writeable = False
    return array


def _require(good: bool, name: str, right: str) -> None:
    if not good:
        raise MalformedDocument(name, f"{right} is wanted here")


def _split(value: object, size: int, name: str) -> list[int]:
    if size == 0 and value == "":
        return []
    good = isinstance(value, str) and len(value) <= 16 * MAX_SLACK and bool(_ROW.fullmatch(value))
    found = list(map(int, value.split(","))) if isinstance(value, str) and good else []
    _require(len(found) == size, name, f"{size} integers joined by commas")
    return found


def _small(value: object, name: str) -> int:
    good = isinstance(value, str) and bool(re.fullmatch(r"0|[1-9][0-9]{0,3}", value))
    _require(good, name, 'a small number such as "12"')
    return int(str(value))
