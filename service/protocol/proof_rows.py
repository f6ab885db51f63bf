"""The rows that a sufficiency proof is about, of either form: conservative ones without slack, exact ones with it.

A run's record names the four matrices without slack. What a model loses in them at its kinks (a maximum, a positive
part, an average over a tail) an institution need not pay for: it may answer by exact rows, which follow from the same
prices, collateral and terms, so that nobody has to name or send them. A breach is proven of conservative rows: whoever
is covered by exact ones answers so first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from atomic_margin.margin.errors import FormTooLarge
from atomic_margin.margin.kinds import Form
from atomic_margin.margin.rows.matrix import Integers, MarginMatrix
from atomic_margin.margin.rows.slack_matrix import ExactMatrix
from atomic_margin.margin.rows.top_up import TOP_UP_BITS
from atomic_margin.zk.bits.parameters import MAX_BITS
from atomic_margin.zk.statements.sufficiency import MAX_SLACK, SufficiencyStatement


@dataclass(frozen=True)
class ProofRows:
    """Fine rows of one kind of margin.

    Attributes:
        matrix: A and c, with the unit; of exact rows the part that knows no slack.
        exact: the rows with their slack; None for conservative rows.
    """

    matrix: MarginMatrix
    exact: ExactMatrix | None = None

    @classmethod
    def of(cls, rows: MarginMatrix | ExactMatrix) -> "ProofRows":
        """Return what is proven of a matrix."""
        return cls(rows.matrix, rows) if isinstance(rows, ExactMatrix) else cls(rows)

    def require_provable(self, bits: int) -> None:
        """Make sure that one proof holds the rows, each with a top-up added.

        Args:
            bits: width of a row without it.

        Raises:
            FormTooLarge: it does not; the rows of the other form may fit.
        """
        widths = () if self.exact is None else self.exact.slack_widths
        taken = self.matrix.rows * (bits + TOP_UP_BITS) + sum(widths)
        if len(widths) > MAX_SLACK or taken > MAX_BITS:
            raise FormTooLarge(
                f"{self.matrix.rows} rows with {len(widths)} slack values take {taken} bits, a proof at most "
                f"{MAX_SLACK} such values and {MAX_BITS} bits"
            )

    @property
    def form(self) -> Form:
        """Which form they are of."""
        return "conservative" if self.exact is None else "exact"

    def hash(self) -> str:
        """Return the hash that a proof is bound to."""
        return self.matrix.hash() if self.exact is None else self.exact.hash()

    def statement(
        self, commitments: tuple[bytes, ...], bits: int, context: Mapping[str, str], top_up: int = 0
    ) -> SufficiencyStatement:
        """Return the statement that no row is negative with the top-up added to what is margin.

        Args:
            commitments: to the entries of the book.
            bits: width of a row.
            context: what else the proof is bound to.
            top_up: X, in units.

        Raises:
            StatementError: more rows, slack or bits than a proof takes.
        """
        exact = self.exact
        # A row that bounds slack stays as it is: with X there, slack could be smaller than the book's losses.
        counted = None if exact is None else tuple(int(not bounds) for bounds in exact.validity)
        return SufficiencyStatement(
            commitments=commitments,
            weights=self.matrix.weights,
            offsets=tuple(int(value) for value in self.matrix.collateral),
            top_up=top_up,
            bits=bits,
            context=context,
            slack=None if exact is None else exact.slack,
            slack_widths=() if exact is None else exact.slack_widths,
            top_up_weights=counted,
        )

    def margin_rows(self, z: Integers, slack: Integers) -> Integers:
        """Return the rows that are surpluses of the account, int64 of shape (R',), in units.

        Raises:
            EntryOutOfRange: ``z`` is no vector of the matrix.
        """
        rows = self.matrix.surplus(z)
        if self.exact is None:
            return rows
        found: Integers = (rows + self.exact.slack @ slack)[~self.exact.validity]
        return found


NO_SLACK: Integers = np.zeros(0, dtype=np.int64)
