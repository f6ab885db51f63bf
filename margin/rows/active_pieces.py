"""From what is active at a book's kinks to the certificate of a row: for whoever opens a book, and for tests.

What a slack value stands for is one of two shapes in the models there are. Others are refused by name: their books are
not opened, and stay frozen.

*Maxima.* Each slack value is bounded by validity rows that hold it alone, u_j >= -(A_k z + c_k) / T_kj, and by 0. The
largest of them is its *active piece*. With the active pieces of all slack values of a margin row, the combined row is
the margin row with the least slack, times the scale; with others it is larger, so nobody is wronged by a wrong choice.

*A tail.* One margin row and one validity row for each of S moves, as of expected shortfall (Rockafellar & Uryasev,
2000). The weights w of moves with 0 <= w <= q/p and sum 1 that make the row least are q/p on the largest losses, and
what is left to 1 on the one after them (ibid.; Acerbi & Tasche, *On the coherence of expected shortfall*, 2002).

>>> from atomic_margin.margin.rows.matrix import MarginMatrix
>>> plain = MarginMatrix("maintenance", "proof", 0, ("up", "kink"), [[5], [-2]], [-10, 0], "00" * 32, "11" * 32)
>>> exact = ExactMatrix(plain, [[-1], [1]], ("u",), (9,), 0, [False, True])
>>> maxima = require_maxima(exact)
>>> maxima.certificate(0, active_pieces(exact, maxima, np.array([3])))
Certificate(row=0, scale=1, multipliers=((1, 1),))
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atomic_margin.margin.errors import CertificateInvalid, SlackNeedsSolver
from atomic_margin.margin.rows.certificate import Certificate
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.slack_matrix import ExactMatrix


class Piece(NamedTuple):
    """One bound of a slack value.

    Attributes:
        row: the validity row.
        coefficient: T, of the slack value in it, at least 1.
        lift: what switches can lift the row by, in units: it is granted.
    """

    row: int
    coefficient: int
    lift: int


@dataclass(frozen=True)
class Maxima:
    """Slack values each of which is the largest of its pieces and 0.

    Attributes:
        pieces: of every slack value that is no switch, by column.
        used: for every margin row the columns it holds, with the coefficient, below 0.
    """

    pieces: tuple[tuple[Piece, ...], ...]
    used: Mapping[int, tuple[tuple[int, int], ...]]

    @property
    def common(self) -> int:
        """Least common multiple of all coefficients: with rows times it, bounds are whole numbers."""
        return math.lcm(*(piece.coefficient for pieces in self.pieces for piece in pieces))

    def certificate(self, row: int, active: Mapping[int, int]) -> Certificate:
        """Return the certificate of a margin row.

        Args:
            row: the margin row.
            active: validity row of the active piece, by column; a column that is not named is 0.

        Raises:
            KeyError: an active piece is none of the column's.
        """
        held = {column: coefficient for column, coefficient in self.used[row] if column in active}
        bounds = {column: {one.row: one.coefficient for one in self.pieces[column]}[active[column]] for column in held}
        scale = math.lcm(*(bounds[column] // math.gcd(bounds[column], held[column]) for column in held))
        found = {active[column]: -held[column] * scale // bounds[column] for column in held}
        return Certificate(row, scale, tuple(sorted(found.items())))


@dataclass(frozen=True)
class Tail:
    """An average over the worst p/q of S moves.

    Attributes:
        row: the margin row.
        moves: the validity rows.
        numerator: p.
        denominator: q.
    """

    row: int
    moves: tuple[int, ...]
    numerator: int
    denominator: int

    @property
    def whole(self) -> int:
        """How many moves count in full, p/q rounded down; of one more a part counts if anything is left."""
        return self.numerator // self.denominator

    @property
    def part(self) -> int:
        """What is left, in units of 1/q."""
        return self.numerator % self.denominator

    @property
    def scale(self) -> int:
        """The scale of the certificate."""
        return self.numerator * self.denominator // self._common

    @property
    def factors(self) -> tuple[int, int]:
        """Multipliers of a move that counts in full, and of the one of which a part does; 0 for none."""
        return (self.denominator if self.whole else 0) // self._common, self.part // self._common

    @property
    def _common(self) -> int:
        return math.gcd(self.numerator * self.denominator, self.denominator if self.whole else 0, self.part)

    def certificate(self, worst: Sequence[int]) -> Certificate:
        """Return the certificate.

        Args:
            worst: validity rows of the moves that count, the one of which a part counts last.
        """
        full, part = self.factors
        factors = [full] * self.whole + [part] * (self.part > 0)
        return Certificate(self.row, self.scale, tuple(sorted(zip(worst, factors, strict=True))))


def shape_of(exact: ExactMatrix) -> Maxima | Tail:
    """Return what the slack of a matrix stands for.

    Raises:
        SlackNeedsSolver: neither maxima nor a tail.
    """
    return _tail(exact) or require_maxima(exact)


def require_maxima(exact: ExactMatrix) -> Maxima:
    """Return the pieces of a matrix whose slack values are maxima.

    Raises:
        SlackNeedsSolver: a validity row holds several slack values or lowers with one, or a margin row rises with one.
    """
    first = len(exact.slack_labels) - exact.switches
    plain, switch = exact.slack[:, :first], exact.slack[:, first:]
    bounding, margin = plain[exact.validity], plain[~exact.validity]
    if (np.count_nonzero(bounding, axis=1) > 1).any() or (bounding < 0).any() or (margin > 0).any():
        raise SlackNeedsSolver("slack values are not each the largest of pieces of their own: its books stay frozen")
    lifts = [sum(max(0, int(value)) for value in row) for row in switch]
    pieces = tuple(
        tuple(
            Piece(int(row), int(plain[row, column]), int(lifts[row]))
            for row in np.flatnonzero(exact.validity & (plain[:, column] > 0))
        )
        for column in range(first)
    )
    used = {
        int(row): tuple((int(column), int(plain[row, column])) for column in np.flatnonzero(plain[row]))
        for row in exact.margin_rows
    }
    return Maxima(pieces, used)


def active_pieces(exact: ExactMatrix, maxima: Maxima, z: Integers) -> dict[int, int]:
    """Return the validity row of the active piece of each slack value that is above 0; the lowest of equal ones.

    Raises:
        EntryOutOfRange: ``z`` is no vector of the matrix.
    """
    rows = exact.matrix.surplus(z)
    found = {}
    for column, pieces in enumerate(maxima.pieces):
        values = [-(int(rows[one.row]) + one.lift) * (maxima.common // one.coefficient) for one in pieces]
        if values and max(values) > 0:
            found[column] = pieces[values.index(max(values))].row
    return found


def worst_moves(exact: ExactMatrix, tail: Tail, z: Integers) -> list[int]:
    """Return the validity rows of the moves that count, the worst first.

    Raises:
        EntryOutOfRange: ``z`` is no vector of the matrix.
    """
    rows = exact.matrix.surplus(z)
    return sorted(tail.moves, key=lambda move: int(rows[move]))[: tail.whole + (tail.part > 0)]


def certificate_by(shape: Maxima | Tail, row: int, chosen: Sequence[int]) -> Certificate:
    """Return the certificate of a margin row by the validity rows that were found for it.

    Args:
        shape: of the slack.
        row: the margin row.
        chosen: rows of active pieces; of a tail the moves that count, the one of which a part counts last.

    Raises:
        CertificateInvalid: they are none that the row is certified by.
    """
    if isinstance(shape, Tail):
        wanted = shape.whole + (shape.part > 0)
        if row != shape.row or len(set(chosen)) != wanted or not set(chosen) <= set(shape.moves):
            raise CertificateInvalid(f"{wanted} different moves are wanted")
        return shape.certificate(chosen)
    owner = {one.row: column for column, pieces in enumerate(shape.pieces) for one in pieces}
    active = {owner[one]: one for one in chosen if one in owner}
    if row not in shape.used or len(active) != len(chosen):
        raise CertificateInvalid("one validity row of each slack value at most is wanted")
    return shape.certificate(row, active)


def certify(exact: ExactMatrix, z: Integers, row: int) -> Certificate:
    """Return the certificate of a margin row that says most of a known book.

    Raises:
        SlackNeedsSolver: the matrix has another shape.
        EntryOutOfRange: ``z`` is no vector of the matrix.
    """
    shape = shape_of(exact)
    if isinstance(shape, Tail):
        return shape.certificate(worst_moves(exact, shape, z))
    return shape.certificate(row, active_pieces(exact, shape, z))


def _tail(exact: ExactMatrix) -> Tail | None:
    rows = exact.margin_rows
    moves = np.flatnonzero(exact.validity)
    if len(rows) != 1 or not len(moves) or exact.switches or exact.slack.shape[1] != len(moves) + 2:
        return None
    q, p = int(exact.slack[moves[0], 0]), int(exact.slack[moves[0], 2])
    bounding = np.hstack([np.full((len(moves), 1), q), np.full((len(moves), 1), -q), p * np.eye(len(moves), dtype=int)])
    margin = np.array([-1, 1, *[-1] * len(moves)])
    fits = np.array_equal(exact.slack[moves], bounding) and np.array_equal(exact.slack[rows[0]], margin)
    if not fits or not 0 < p <= q * len(moves):
        return None
    return Tail(int(rows[0]), tuple(moves.tolist()), p, q)
