"""The sufficiency statement: every row of A z + c + X, plus slack, is a surplus that fits its bits. Anyone may call it.

On its own it is **unsound**: nothing here keeps the entries of z non-negative, and an account with -7 short lots would
pass. It means something only next to a portfolio proof on the same commitments.

Exact rows for expected shortfall and other convex charges need auxiliary amounts u >= 0 that only the prover knows
(Rockafellar and Uryasev, *Optimization of conditional value-at-risk*, 2000): public matrix S, column j for slack j. The
bits of u are committed together with those of the rows, so slack is fresh in every proof and costs no commitment of its
own. The prover may choose u as it likes, so whoever publishes A, c and S answers for it that no u >= 0 makes an
uncovered portfolio pass: validity rows, which no top-up enters, force u to be large enough.

>>> import numpy
>>> statement = SufficiencyStatement(
...     commitments=(bytes(48),), weights=numpy.array([[-3], [2]]), offsets=(100, 0), top_up=0, bits=20,
...     context={"run": "1"},
... )
>>> statement.rows, statement.bit_statement().parameters.bits
(2, 40)

The larger of two losses, 3 z and 2 z, is at most 100: u >= 3 z and u >= 2 z, and 100 + X - u >= 0.

>>> exact = SufficiencyStatement(
...     commitments=(bytes(48),), weights=numpy.array([[-3], [-2], [0]]), offsets=(0, 0, 100), top_up=5, bits=20,
...     context={"run": "1"}, slack=numpy.array([[1], [1], [-1]]), slack_widths=(12,), top_up_weights=(0, 0, 1),
... )
>>> exact.bit_statement().parameters.bits
72
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.statement import BitStatement, DenseForms, LinearForm, Relation
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements import checks

NAME = "sufficiency"
MAX_SLACK = 1024
SLACK_BOUND = 1 << (checks.MAX_TERM_BITS - checks.MAX_ROW_BITS)
"""Entries of S are below it in absolute value: 2^32 times a 48-bit slack stays below 2^80."""
MAX_TOP_UP_WEIGHT = 1 << 16


@dataclass(frozen=True, eq=False)
class SufficiencyStatement:
    """For u_j in [0, 2^slack_widths[j]), every row of A z + S u + offsets + top_up_weights * X lies in [0, 2^bits).

    Attributes:
        commitments: compressed Pedersen commitments to the N entries, those of the portfolio statement, or those of two
            books one after the other, with a portfolio statement each: N at most 8192.
        weights: the matrix A, int64, shape (R, N), R at most 1024, R times N at most 2^20.
        offsets: the vector c, value of the ledger collateral in each row, in the matrix's unit.
        top_up: the amount X >= 0, in the matrix's unit.
        bits: width of a row's surplus, 1 to 48.
        context: everything else the proof belongs to, as labelled strings.
        slack: the matrix S, int64, shape (R, M), entries below 2^32 in absolute value; None for no slack.
        slack_widths: bits of each slack value, 1 to 48.
        top_up_weights: how many times X counts in each row, 0 to 2^16: 0 in validity rows; None for once in every row.

    Raises:
        StatementError: sizes, types or magnitudes outside these bounds.
    """

    commitments: tuple[bytes, ...]
    weights: npt.NDArray[np.int64]
    offsets: tuple[int, ...]
    top_up: int
    bits: int
    context: Mapping[str, str]
    slack: npt.NDArray[np.int64] | None = None
    slack_widths: tuple[int, ...] = ()
    top_up_weights: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "commitments", checks.commitments(self.commitments, checks.MAX_COMMITMENTS))
        weights, offsets = checks.rows(self.commitments, self.weights, self.offsets)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "offsets", offsets)
        checks.integer("top_up", self.top_up, 0, checks.WEIGHT_BOUND - 1)
        checks.integer("bits", self.bits, 1, checks.MAX_ROW_BITS)
        if len(self.slack_widths) > MAX_SLACK:
            raise StatementError(f"there are at most {MAX_SLACK} slack values, got {len(self.slack_widths)}")
        widths = checks.integers("slack_widths", self.slack_widths, 1, checks.MAX_ROW_BITS)
        object.__setattr__(self, "slack_widths", widths)
        if self.slack is not None:
            object.__setattr__(self, "slack", checks.matrix("slack", self.slack, SLACK_BOUND))
        if self.slack_matrix.shape != (self.rows, len(widths)):
            raise StatementError(
                f"slack has shape {self.slack_matrix.shape}: it takes {self.rows} rows and a column for each width"
            )
        if self.top_up_weights is not None:
            times = checks.integers("top_up_weights", self.top_up_weights, 0, MAX_TOP_UP_WEIGHT)
            object.__setattr__(self, "top_up_weights", times)
        if len(self.top_up_counts) != self.rows:
            raise StatementError(f"there are {self.rows} rows, but {len(self.top_up_counts)} top-up weights")
        checks.total_bits(self.rows * self.bits + sum(widths))
        object.__setattr__(self, "context", checks.context(self.context))

    @property
    def rows(self) -> int:
        """Number of rows R."""
        return int(self.weights.shape[0])

    @property
    def constants(self) -> tuple[int, ...]:
        """The public part of every row: offsets + top_up_weights * X."""
        rows = zip(self.offsets, self.top_up_counts, strict=True)
        return tuple(offset + count * self.top_up for offset, count in rows)

    @property
    def top_up_counts(self) -> tuple[int, ...]:
        """How many times X counts in each row."""
        return (1,) * self.rows if self.top_up_weights is None else self.top_up_weights

    @property
    def slack_matrix(self) -> npt.NDArray[np.int64]:
        """S, with no columns if there is no slack."""
        return np.zeros((self.rows, 0), dtype=np.int64) if self.slack is None else self.slack

    def bit_statement(self) -> BitStatement:
        """Return the statement as relations, one per row: the verifier needs no commitment to a row."""
        entries = range(len(self.commitments))
        relations = tuple(
            Relation(
                LinearForm.binary(row * self.bits, self.bits),
                LinearForm(entries, tuple(weights)),
                constant,
            )
            for row, (weights, constant) in enumerate(zip(self.weights.tolist(), self.constants, strict=True))
        )
        words, start = [], self.rows * self.bits
        for width in self.slack_widths:
            words.append((start, width))
            start += width
        slack = self.slack_matrix
        return BitStatement(
            name=NAME,
            binding=(
                ("public", self._public()),
                ("weights", self.weights.astype(">i8").tobytes()),
                ("slack", slack.astype(">i8").tobytes()),
            ),
            commitments=self.commitments,
            relations=relations,
            parameters=BitParameters.for_bits(start),
            # Row bits minus S u equal the rest: the sign changes sides.
            dense=(DenseForms(0, -slack, words),) if words else (),
        )

    def _public(self) -> bytes:
        return canonical_bytes(
            {
                "bits": str(self.bits),
                "context": self.context,
                "entries": str(len(self.commitments)),
                "offsets": checks.decimal(self.offsets),
                "rows": str(self.rows),
                "slack_widths": checks.decimal(self.slack_widths),
                "statement": NAME,
                "top_up": str(self.top_up),
                "top_up_weights": checks.decimal(self.top_up_counts),
                "version": checks.PROTOCOL_VERSION,
            }
        )
