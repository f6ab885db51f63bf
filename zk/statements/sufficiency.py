"""The sufficiency statement: every row of A z + c + X is a surplus that fits its bits. Anyone may call it.

On its own it is **unsound**: nothing here keeps the entries of z non-negative, and an account with -7 short lots would
pass. It means something only next to a portfolio proof on the same commitments.

>>> import numpy
>>> statement = SufficiencyStatement(
...     commitments=(bytes(48),), weights=numpy.array([[-3], [2]]), offsets=(100, 0), top_up=0, bits=20,
...     context={"run": "1"},
... )
>>> statement.rows, statement.bit_statement().parameters.bits
(2, 40)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.canonical import canonical_bytes
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.statement import BitStatement, LinearForm, Relation
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements import checks

NAME = "sufficiency"
MAX_ROWS = 64
MAX_ROW_BITS = 48
WEIGHT_BOUND = 1 << (checks.MAX_TERM_BITS - checks.MAX_WIDTH)
"""Entries of A, offsets and the top-up are below it in absolute value: 2^48 times a 32-bit entry stays below 2^80."""


@dataclass(frozen=True, eq=False)
class SufficiencyStatement:
    """Row r of ``weights`` times the committed entries, plus offsets[r] + top_up, lies in [0, 2^bits).

    Attributes:
        commitments: compressed Pedersen commitments to the N entries, those of the portfolio statement.
        weights: the matrix A, int64, shape (R, N), R at most 64.
        offsets: the vector c, value of the ledger collateral in each row, in the matrix's unit.
        top_up: the amount X >= 0 added to every row, in the matrix's unit.
        bits: width of a row's surplus, 1 to 48.
        context: everything else the proof belongs to, as labelled strings.

    Raises:
        StatementError: sizes, types or magnitudes outside these bounds.
    """

    commitments: tuple[bytes, ...]
    weights: npt.NDArray[np.int64]
    offsets: tuple[int, ...]
    top_up: int
    bits: int
    context: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "commitments", checks.commitments(self.commitments))
        if getattr(self.weights, "dtype", None) != np.int64 or self.weights.ndim != 2:
            raise StatementError("weights is a two-dimensional numpy array of int64: rows by entries")
        rows, entries = self.weights.shape
        if not 1 <= rows <= MAX_ROWS:
            raise StatementError(f"a matrix has 1 to {MAX_ROWS} rows, got {rows}")
        if (entries, len(self.offsets)) != (len(self.commitments), rows):
            raise StatementError(
                f"weights has shape {rows} x {entries}, but there are {len(self.commitments)} commitments and "
                f"{len(self.offsets)} offsets"
            )
        # A private copy: what was checked must be what is proved.
        weights = self.weights.copy()
        weights.setflags(write=False)
        if not -WEIGHT_BOUND < int(weights.min()) <= int(weights.max()) < WEIGHT_BOUND:
            raise StatementError(f"weights has an entry of {WEIGHT_BOUND} or more in absolute value: coarsen the unit")
        object.__setattr__(self, "weights", weights)
        bound = WEIGHT_BOUND - 1
        object.__setattr__(self, "offsets", checks.integers("offsets", self.offsets, -bound, bound))
        checks.integer("top_up", self.top_up, 0, bound)
        checks.integer("bits", self.bits, 1, MAX_ROW_BITS)
        object.__setattr__(self, "context", checks.context(self.context))

    @property
    def rows(self) -> int:
        """Number of rows R."""
        return int(self.weights.shape[0])

    def bit_statement(self) -> BitStatement:
        """Return the statement as relations, one per row: the verifier needs no commitment to a row."""
        entries = range(len(self.commitments))
        relations = tuple(
            Relation(
                LinearForm.binary(row * self.bits, self.bits),
                LinearForm(entries, tuple(weights)),
                self.offsets[row] + self.top_up,
            )
            for row, weights in enumerate(self.weights.tolist())
        )
        return BitStatement(
            name=NAME,
            binding=(("public", self._public()), ("weights", self.weights.astype(">i8").tobytes())),
            commitments=self.commitments,
            relations=relations,
            parameters=BitParameters.for_bits(self.rows * self.bits),
        )

    def _public(self) -> bytes:
        return canonical_bytes(
            {
                "bits": str(self.bits),
                "context": self.context,
                "entries": str(len(self.commitments)),
                "offsets": checks.decimal(self.offsets),
                "rows": str(self.rows),
                "statement": NAME,
                "top_up": str(self.top_up),
                "version": checks.PROTOCOL_VERSION,
            }
        )
