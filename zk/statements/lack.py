"""The lack statement: a top-up X is what one row of A z + c lacks, rounded up to the step. Anyone may call it.

With row a·z + c and step s it says

    0 <= a·z + c + X < s        X = s, 2 s, 3 s, …

so the row is negative, X restores it, and one step less would not. It is about one commitment alone, that to the row,
C = sum_j a_j V_j + c G, which the verifier computes: whoever has opened the row can prove it without any entry. As a
sufficiency statement over C it has two rows, each in [0, 2^bits), where bits is the least number that holds s - 1:

    row + X >= 0        -row - X + s - 1 >= 0

A power of two would do with the first of them; both are stated always, so that there is one form. Which row it is, of
which run, belongs into the context: a row that was chosen to be small lacks little.

Like sufficiency and breach it means nothing without a portfolio proof on the same commitments, which keeps entries in
range: an entry of -7 short lots would lack what nobody owes, and without a range a·z + c is known modulo r only.

>>> import numpy
>>> statement = LackStatement((bytes(48),), numpy.array([-3]), 100, top_up=50, step=25, context={"row": "crash"})
>>> statement.bits, statement.sufficiency(bytes(48)).offsets
(5, (50, -26))
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.commitments import decode_commitments, row_commitment
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.groups import Group, Point
from atomic_margin.zk.statements import checks
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement

NAME = "lack"
LABEL = "lack statement"
"""Label under which the inner statement's context has the hash of the outer one. No context of a caller may have it."""


@dataclass(frozen=True, eq=False)
class LackStatement:
    """``weights`` times the committed entries, plus ``offset``, plus ``top_up``, lies in [0, step).

    Attributes:
        commitments: compressed Pedersen commitments to the N entries, those of the portfolio statement; N at most 4096.
        weights: a, the row of the matrix, int64, shape (N,).
        offset: c, value of the ledger collateral in the row, in the matrix's unit.
        top_up: X, a positive multiple of ``step``, in the matrix's unit.
        step: s, 1 to 2^48 - 1, in the matrix's unit.
        context: everything else the proof belongs to, as labelled strings: run, matrix and index of the row among them.

    Raises:
        StatementError: sizes, types or magnitudes outside these bounds, or a top-up off its step.
    """

    commitments: tuple[bytes, ...]
    weights: npt.NDArray[np.int64]
    offset: int
    top_up: int
    step: int
    context: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "commitments", checks.commitments(self.commitments))
        weights: object = self.weights
        if not isinstance(weights, np.ndarray) or weights.ndim != 1:
            raise StatementError("weights of a row are a one-dimensional numpy array of int64")
        matrix, _ = checks.rows(self.commitments, weights[np.newaxis], (self.offset,))
        object.__setattr__(self, "weights", matrix[0])
        checks.integer("step", self.step, 1, checks.WEIGHT_BOUND - 1)
        checks.integer("top_up", self.top_up, 1, checks.WEIGHT_BOUND - 1)
        if self.top_up % self.step:
            raise StatementError(f"top_up is {self.top_up}: it is a positive multiple of the step, {self.step}")
        object.__setattr__(self, "context", checks.context(self.context))
        if LABEL in self.context:
            raise StatementError(f"the label {LABEL!r} of the context is taken: choose another")
        # With what is added to it.
        checks.context({**self.context, LABEL: "0" * 64})

    @property
    def bits(self) -> int:
        """Width of both rows of the inner statement: the least that holds step - 1, and at least 1."""
        return max(1, (self.step - 1).bit_length())

    @property
    def parameters(self) -> BitParameters:
        """Size of the bit argument about the inner statement."""
        return BitParameters.for_bits(2 * self.bits)

    def row_point(self, group: Group, known: dict[bytes, Point] | None = None) -> Point:
        """Return the commitment to the row; ``known`` are commitments decoded before.

        Raises:
            PointEncodingError: a commitment does not decode.
        """
        entries = decode_commitments(group, self.commitments, known)
        return row_commitment(group, entries, self.weights.tolist(), self.offset)

    def hash(self) -> str:
        """Return 64 hex digits that depend on every byte of the statement."""
        return canonical_hash(
            NAME,
            {
                "commitments": [commitment.hex() for commitment in self.commitments],
                "context": self.context,
                "offset": str(self.offset),
                "statement": NAME,
                "step": str(self.step),
                "top_up": str(self.top_up),
                "version": checks.PROTOCOL_VERSION,
                "weights": checks.decimal(self.weights.tolist()),
            },
        )

    def sufficiency(self, row: bytes) -> SufficiencyStatement:
        """Return the statement about the commitment to the row, encoded: its context holds this whole statement."""
        return SufficiencyStatement(
            commitments=(row,),
            weights=np.array([[1], [-1]], dtype=np.int64),
            offsets=(self.top_up, self.step - 1 - self.top_up),
            top_up=0,
            bits=self.bits,
            context={**self.context, LABEL: self.hash()},
        )
