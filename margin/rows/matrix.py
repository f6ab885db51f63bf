"""The margin matrix: integer weights A and collateral c of one run, one row a scenario, named by hash.

Shared by every party. The account's surplus in row r, in units of 2^unit_exponent USD, is (A z)_r + c_r. Entries are
rounded down, entry = floor(true / unit - 2^-10), so no integer surplus exceeds the true one.

>>> matrix = MarginMatrix("maintenance", "fhe", 4, ("crash",), [[-3, 2]], [40], "00" * 32, "11" * 32)
>>> matrix.surplus(np.array([10, 1])).tolist()
[12]
>>> matrix.to_canonical()["weights"]
['-3,2']
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import CanonicalValue, canonical_hash
from atomic_margin.documents.errors import DocumentError, MalformedDocument, OutOfRange
from atomic_margin.margin.errors import EntryOutOfRange, MatrixMismatch, ProfileTooSmall
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.entries import check_entries

Place = Literal["fhe", "proof"]
Integers = npt.NDArray[np.int64]

FORMAT = "atomic-margin/matrix/1"
MAX_ROWS = 1024
MAX_ENTRIES = 4096
MAX_CELLS = 1 << 20
# Of any entry of A and c.
MAX_ENTRY = 1 << 42
MIN_EXPONENT, MAX_EXPONENT = -64, 64

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class MarginMatrix:
    """Rows of one kind for one place; immutable, compared by content.

    Attributes:
        kind: maintenance (decides breach) or initial (sets the top-up).
        place: fhe (coarse, evaluated on ciphertexts) or proof (fine, evaluated on commitments).
        unit_exponent: e; one unit is 2^e USD, e may be negative.
        labels: R row labels, unique.
        weights: A, int64 of shape (R, N), read-only.
        collateral: c, int64 of shape (R,), read-only.
        model_hash: of the margin model.
        entry_map_hash: of the entry map that names the columns.
    """

    kind: MarginKind
    place: Place
    unit_exponent: int
    labels: tuple[str, ...]
    weights: Integers
    collateral: Integers
    model_hash: str
    entry_map_hash: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _integers(self.weights, "weights"))
        object.__setattr__(self, "collateral", _integers(self.collateral, "collateral"))
        object.__setattr__(self, "labels", tuple(self.labels))
        _require(self.kind in get_args(MarginKind), "kind", '"maintenance" or "initial"')
        _require(self.place in get_args(Place), "place", '"fhe" or "proof"')
        _require(MIN_EXPONENT <= self.unit_exponent <= MAX_EXPONENT, "unit_exponent", "-64 to 64")
        for name, value in (("model", self.model_hash), ("entry_map", self.entry_map_hash)):
            _require(_is_hash(value), name, "64 lowercase hex digits")
        rows = len(self.labels)
        _require(
            1 <= rows <= MAX_ROWS and all(map(_is_label, self.labels)) and len(set(self.labels)) == rows,
            "labels",
            f"1 to {MAX_ROWS} different labels of 1 to 64 printable ASCII characters",
        )
        shape = self.weights.shape
        _require(
            len(shape) == 2 and shape[0] == rows and 1 <= shape[1] <= MAX_ENTRIES and rows * shape[1] <= MAX_CELLS,
            "weights",
            f"a row for each label, of 1 to {MAX_ENTRIES} entries, {MAX_CELLS} in all",
        )
        _require(self.collateral.shape == (rows,), "collateral", "one entry for each label")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MarginMatrix):
            return NotImplemented
        return self.to_canonical() == other.to_canonical()

    def __hash__(self) -> int:
        return hash(self.hash())

    @property
    def rows(self) -> int:
        """R."""
        return len(self.labels)

    @property
    def entries(self) -> int:
        """N."""
        return int(self.weights.shape[1])

    @property
    def unit(self) -> Fraction:
        """One unit, in USD."""
        return Fraction(2) ** self.unit_exponent

    def usd(self, units: int) -> Decimal:
        """Return that many units in USD, without rounding."""
        return usd(units, self.unit_exponent)

    def surplus(self, z: Integers) -> Integers:
        """Return A z + c, int64 of shape (R,), in units.

        Raises:
            EntryOutOfRange: ``z`` is no vector of N entries, or so large that a row would leave 63 bits.
        """
        check_entries(z, self.entries)
        if int(np.abs(self.weights).max()) * int(z.sum()) >= 1 << 62:
            raise EntryOutOfRange("the entries times the weights leave 63 bits: no book within a gross limit does")
        total: Integers = self.weights @ z + self.collateral
        return total

    def hash(self) -> str:
        """Return the SHA-256, in hex, of the canonical form."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        return canonical_hash("matrix", self.to_canonical())

    @cached_property
    def _weight_rows(self) -> tuple[str, ...]:
        # Hashed, and then stored: the matrix is written out once for both.
        return tuple(_join(row) for row in self.weights)

    def to_canonical(self) -> dict[str, CanonicalValue]:
        """Return the canonical form; a row of A, and c, are comma-joined integers without spaces."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "place": self.place,
            "unit_exponent": str(self.unit_exponent),
            "labels": list(self.labels),
            "weights": list(self._weight_rows),
            "collateral": _join(self.collateral),
            "model": self.model_hash,
            "entry_map": self.entry_map_hash,
        }

    def padded(self, rows: int, entries: int, bits: int) -> tuple[Integers, Integers]:
        """Return (A, c) of the shape of an FHE profile: (rows, entries) and (rows,).

        Added columns weigh nothing; added rows weigh nothing and have the largest collateral, 2^(bits-1) - 1, so they
        are never short.

        Raises:
            ProfileTooSmall: the matrix is larger than the profile, or its collateral wider than ``bits`` signed bits.
        """
        if self.rows > rows or self.entries > entries:
            raise ProfileTooSmall(
                f"a matrix of {self.rows} rows and {self.entries} entries needs a profile at least that large, got "
                f"{rows} rows and {entries} entries"
            )
        top = (1 << (bits - 1)) - 1
        if self.collateral.max() > top or self.collateral.min() < -top - 1:
            raise ProfileTooSmall(f"collateral does not fit {bits} bits: compile the matrix for this width")
        weights = np.zeros((rows, entries), dtype=np.int64)
        weights[: self.rows, : self.entries] = self.weights
        collateral = np.full(rows, top, dtype=np.int64)
        collateral[: self.rows] = self.collateral
        return weights, collateral


def usd(units: int, exponent: int) -> Decimal:
    """Return units * 2^exponent USD, without rounding, whatever the decimal context.

    >>> usd(-6, -3)
    Decimal('-0.75')
    """
    while exponent < 0 and units % 2 == 0:
        units, exponent = units // 2, exponent + 1
    if exponent >= 0:
        return Decimal(units << exponent)
    digits = Decimal(abs(units) * 5**-exponent).as_tuple().digits
    return Decimal((int(units < 0), digits, exponent))


def require_same(matrix: MarginMatrix, model_hash: str, entry_map_hash: str, shape: tuple[int, int]) -> None:
    """Raise MatrixMismatch unless ``matrix`` is made for that model, entry map and shape."""
    if matrix.model_hash != model_hash:
        raise MatrixMismatch(f"the matrix is of model {matrix.model_hash}, wanted {model_hash}")
    if matrix.entry_map_hash != entry_map_hash:
        raise MatrixMismatch(f"the matrix is of entry map {matrix.entry_map_hash}, wanted {entry_map_hash}")
    if matrix.weights.shape != shape:
        raise MatrixMismatch(f"the matrix has shape {matrix.weights.shape}, wanted {shape}")


def _require(good: bool, field: str, right: str, error: type[DocumentError] = MalformedDocument) -> None:
    if not good:
        raise error(field, f"{right} is wanted here")


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def _is_label(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 64 and value.isascii() and value.isprintable()


def _integers(value: npt.ArrayLike, field: str) -> Integers:
    given = np.asarray(value)
    _require(given.dtype.kind == "i", field, "an array of signed integers")
    array = np.array(given, dtype=np.int64, order="C")
    within = array.size == 0 or (array.max() <= MAX_ENTRY and array.min() >= -MAX_ENTRY)
    _require(bool(within), field, f"at most {MAX_ENTRY} in magnitude", OutOfRange)
    array.flags.writeable = False
    return array


def _join(values: Integers) -> str:
    return ",".join(map(str, values.tolist()))
