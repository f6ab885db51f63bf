"""Margin rows of models with slack, from shares of all their rows: active pieces by comparisons, rows by selection.

All rows A z + c are shared, those that bound slack among them. What a slack value stands for has one of two shapes
(`margin.rows.active_pieces`); a book of any other stays frozen. The result are shares of combined rows, and on a breach
what certificates are made of.

**What leaves on a breach**, besides row and bit: for the slack values of the two least rows, which piece is active, so
the sign of each and the largest of its pieces, or which moves are in the tail and which of them counts in part. An
active piece tells the sign of a part of the book, such as of the net quantity of a strike; 20 of them, as of `pmrm2`,
tell that much of it. What is not opened: sizes, pieces of other rows, and the order within a tail.
"""

from collections.abc import Sequence
from typing import NamedTuple

from atomic_margin.margin.rows.active_pieces import Maxima, Tail
from atomic_margin.service.custodian.engine.comparing import Arithmetic
from atomic_margin.zk.groups import ORDER

Shape = Maxima | Tail


class Solved(NamedTuple):
    """Rows without slack, and what was chosen for them.

    Attributes:
        labels: index of each in the exact matrix.
        rows: shares of them, times the scale.
        bits: width of such a row, with sign.
        chosen: shares of places: of the active piece of every slack value, 0 for none; or of the moves of the tail.
    """

    labels: tuple[int, ...]
    rows: list[int]
    bits: int
    chosen: list[int]


def comparisons(shape: Shape) -> int:
    """Return how many one kind of margin takes at most: those of slack, a sign for each row, and those of rows."""
    if isinstance(shape, Tail):
        count = shape.whole + (shape.part > 0)
        return sum(len(shape.moves) - 1 - place for place in range(count)) + 1
    return sum(map(len, shape.pieces)) + 2 * len(shape.used)


async def solve(arithmetic: Arithmetic, shape: Shape, rows: Sequence[int], bits: int) -> Solved:
    """Return the margin rows with the slack that leaves most.

    Args:
        arithmetic: of all that are present.
        shape: of the slack.
        rows: shares of A z + c, all rows of the exact matrix; each with what switches lift it by has ``bits`` bits.
        bits: with sign.
    """
    if isinstance(shape, Tail):
        return await _tail(arithmetic, shape, rows, bits)
    return await _maxima(arithmetic, shape, rows, bits)


async def open_choice(arithmetic: Arithmetic, shape: Shape, solved: Solved, row: int) -> tuple[int, ...] | None:
    """Return the validity rows by which a margin row is certified; all learn them. None if they are none.

    Of maxima: those of the active pieces, ascending. Of a tail: the moves that count in full, ascending, then the one
    that counts in part.
    """
    if isinstance(shape, Tail):
        return await _open_tail(arithmetic, shape, solved)
    columns = [column for column, _ in shape.used[row]]
    places = await arithmetic.open([solved.chosen[column] for column in columns]) if columns else []
    if any(place > len(shape.pieces[column]) for column, place in zip(columns, places, strict=True)):
        return None
    active = [shape.pieces[column][place - 1].row for column, place in zip(columns, places, strict=True) if place]
    return tuple(sorted(active))


async def _maxima(arithmetic: Arithmetic, shape: Maxima, rows: Sequence[int], bits: int) -> Solved:
    scale = shape.common
    wide = bits + (scale - 1).bit_length()
    # The least of the pieces' rows and 0 is the largest bound, with the other sign; 0 comes first, so it wins a tie.
    tables = [
        [0, *((rows[one.row] + one.lift) * (scale // one.coefficient) for one in pieces)] for pieces in shape.pieces
    ]
    least = await arithmetic.least_pairs(tables, wide) if tables else []
    found = [
        (scale * rows[row] - sum(coefficient * least[column].value for column, coefficient in used)) % ORDER
        for row, used in shape.used.items()
    ]
    return Solved(tuple(shape.used), found, wide, [one.place for one in least])


async def _tail(arithmetic: Arithmetic, shape: Tail, rows: Sequence[int], bits: int) -> Solved:
    full, part = shape.factors
    worst = await arithmetic.least_several([rows[move] for move in shape.moves], shape.whole + (part > 0), bits)
    factors = [full] * shape.whole + [part] * (part > 0)
    value = shape.scale * rows[shape.row] + sum(factor * one.value for factor, one in zip(factors, worst, strict=True))
    wide = bits + (shape.scale - 1).bit_length()
    return Solved((shape.row,), [value % ORDER], wide, [one.place for one in worst])


async def _open_tail(arithmetic: Arithmetic, shape: Tail, solved: Solved) -> tuple[int, ...] | None:
    """Open which moves count in full as the roots of one polynomial, which has no order, and the last by itself."""
    full, last = solved.chosen[: shape.whole], solved.chosen[shape.whole :]
    # Coefficients of the product of (x - place), without that of the highest power, lowest first.
    coefficients: list[int] = []
    for place in full:
        products = await arithmetic.multiply(coefficients, [place] * len(coefficients))
        shifted = [0, *coefficients]
        lowered = [*(-product for product in products), -place]
        coefficients = [(a + b) % ORDER for a, b in zip(shifted, lowered, strict=True)]
    opened = await arithmetic.open([*coefficients, *last])
    polynomial, places = [*opened[: len(full)], 1], opened[len(full) :]
    roots = [place for place in range(len(shape.moves)) if _value(polynomial, place) == 0]
    if len(roots) != len(full) or any(place >= len(shape.moves) or place in roots for place in places):
        return None
    return tuple(shape.moves[place] for place in (*roots, *places))


def _value(polynomial: Sequence[int], at: int) -> int:
    return sum(coefficient * pow(at, power, ORDER) for power, coefficient in enumerate(polynomial)) % ORDER
