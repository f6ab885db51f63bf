"""The breach statement: some row of A z + c is negative, without saying which. Anyone may call it.

The prover commits afresh to the surplus of one row, in W, and shows two things: W opens to the surplus of one of the R
rows (`atomic_margin.zk.choice`), and -W - 1 lies in [0, 2^bits) (the bit argument). A and c are those of the
maintenance rows of the proof matrix; no slack enters, because slack of the prover's choice could sink any row.

Like sufficiency it means nothing without a portfolio proof on the same commitments, which keeps entries in range.

>>> import numpy
>>> statement = BreachStatement((bytes(48),), numpy.array([[-3], [2]]), (1, 0), 20, {"run": "1"})
>>> statement.rows, statement.bit_statement(bytes(48), b"").parameters.bits
(2, 20)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.statement import BitStatement, LinearForm, Relation
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements import checks

NAME = "breach"
MAX_CHOICES = 256
"""Rows one proof may choose from: its size grows by 112 bytes with each."""


@dataclass(frozen=True, eq=False)
class BreachStatement:
    """Some row of ``weights`` times the committed entries, plus its offset, lies in [-2^bits, 0).

    Attributes:
        commitments: compressed Pedersen commitments to the N entries, those of the portfolio statement.
        weights: the matrix A, int64, shape (R, N), R at most 256, N at most 4096: the rows that decide a breach.
        offsets: the vector c, value of the ledger collateral in each row, in the matrix's unit.
        bits: width of the shortfall, 1 to 48.
        context: everything else the proof belongs to, as labelled strings.

    Raises:
        StatementError: sizes, types or magnitudes outside these bounds.
    """

    commitments: tuple[bytes, ...]
    weights: npt.NDArray[np.int64]
    offsets: tuple[int, ...]
    bits: int
    context: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "commitments", checks.commitments(self.commitments))
        weights, offsets = checks.rows(self.commitments, self.weights, self.offsets)
        if len(weights) > MAX_CHOICES:
            raise StatementError(f"a breach is one of at most {MAX_CHOICES} rows, got {len(weights)}")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "offsets", offsets)
        checks.integer("bits", self.bits, 1, checks.MAX_ROW_BITS)
        object.__setattr__(self, "context", checks.context(self.context))

    @property
    def rows(self) -> int:
        """Number of rows R."""
        return int(self.weights.shape[0])

    @property
    def parameters(self) -> BitParameters:
        """Size of the bit argument about -W - 1."""
        return BitParameters.for_bits(self.bits)

    def binding(self) -> tuple[tuple[str, bytes], ...]:
        """Return every byte the proof is bound to: both its parts absorb all of it first."""
        public = canonical_bytes(
            {
                "bits": str(self.bits),
                "context": self.context,
                "entries": str(len(self.commitments)),
                "offsets": checks.decimal(self.offsets),
                "rows": str(self.rows),
                "statement": NAME,
                "version": checks.PROTOCOL_VERSION,
            }
        )
        return (
            ("public", public),
            ("weights", self.weights.astype(">i8").tobytes()),
            ("entries", b"".join(self.commitments)),
        )

    def bit_statement(self, W: bytes, choice: bytes) -> BitStatement:
        """Return the statement that -W - 1 fits ``bits``, bound to the proof that W is one of the rows."""
        return BitStatement(
            name=NAME,
            binding=(*self.binding(), ("choice", choice)),
            commitments=(W,),
            relations=(Relation(LinearForm.binary(0, self.bits), LinearForm((0,), (-1,)), -1),),
            parameters=self.parameters,
        )
