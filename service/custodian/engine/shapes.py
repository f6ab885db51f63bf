"""Shapes of slack as part of a task: what all must have alike, within bounds, and how it travels."""

from typing import Any

from atomic_margin.documents.canonical import CanonicalValue
from atomic_margin.margin.rows.active_pieces import Maxima, Piece, Tail
from atomic_margin.service.custodian.engine.errors import EngineTaskInvalid
from atomic_margin.service.custodian.engine.slack import Shape, comparisons

MAX_COMPARISONS = 6144
"""Of both kinds together; a minute or so, for 3 present."""
MAX_SCALE_BITS = 16
MAX_NUMBER = 1 << 48


def check_shapes(shapes: tuple[Shape, Shape], counts: tuple[int, int]) -> None:
    """Make sure that shapes are of so many rows, and that an engine takes them.

    Raises:
        EngineTaskInvalid: naming what is not so; where it takes too many comparisons, the book stays frozen.
    """
    for shape, count in zip(shapes, counts, strict=True):
        _check_tail(shape, count) if isinstance(shape, Tail) else _check_maxima(shape, count)
    needed = sum(map(comparisons, shapes))
    _require(
        needed <= MAX_COMPARISONS,
        f"{needed} comparisons, and an opening takes {MAX_COMPARISONS} at most: the book stays frozen",
    )


def shape_fields(shape: Shape) -> dict[str, Any]:
    """Return a shape as plain JSON values."""
    if isinstance(shape, Tail):
        return vars(shape) | {"moves": list(shape.moves)}
    used = [[row, [list(one) for one in columns]] for row, columns in shape.used.items()]
    return {"pieces": [[list(one) for one in pieces] for pieces in shape.pieces], "used": used}


def canonical_shapes(shapes: tuple[Shape, Shape]) -> CanonicalValue:
    """Return what a task's hash covers."""
    return [_canonical(shape_fields(shape)) for shape in shapes]


def read_shapes(value: object) -> tuple[Shape, Shape]:
    """Read what `shape_fields` returned, of both kinds.

    Raises:
        EngineTaskInvalid: it is no such thing.
    """
    if not isinstance(value, list) or len(value) != 2:
        raise EngineTaskInvalid("slack: a shape for each kind of margin is wanted")
    return _read(value[0]), _read(value[1])


def _read(value: object) -> Shape:
    keys = value.keys() if isinstance(value, dict) else set()
    try:
        if isinstance(value, dict) and keys == {"row", "moves", "numerator", "denominator"}:
            return Tail(value["row"], tuple(value["moves"]), value["numerator"], value["denominator"])
        if isinstance(value, dict) and keys == {"pieces", "used"}:
            pieces = tuple(tuple(Piece(*one) for one in column) for column in value["pieces"])
            used = {row: tuple((column, times) for column, times in columns) for row, columns in value["used"]}
            return Maxima(pieces, used)
    except (TypeError, ValueError):
        pass
    raise EngineTaskInvalid("slack: pieces and what uses them, or a tail, are wanted")


def _check_maxima(shape: Maxima, count: int) -> None:
    every = [one for pieces in shape.pieces for one in pieces]
    for one in every:
        _integer("row", one.row, 0, count - 1)
        _integer("coefficient", one.coefficient, 1, 1 << MAX_SCALE_BITS)
        _integer("lift", one.lift, 0, MAX_NUMBER)
    bounding = [one.row for one in every]
    _require(len(set(bounding)) == len(bounding), "slack: a row bounds two slack values")
    _require(bool(shape.used) and list(shape.used) == sorted(set(shape.used)), "slack: margin rows ascend")
    for row, columns in shape.used.items():
        _integer("margin row", row, 0, count - 1)
        _require(row not in bounding, "slack: a margin row bounds slack")
        named = [column for column, _ in columns]
        _require(named == sorted(set(named)), "slack: columns of a row ascend")
        for column, times in columns:
            _integer("column", column, 0, len(shape.pieces) - 1)
            _integer("coefficient of a margin row", times, -MAX_NUMBER, -1)
    _require(shape.common.bit_length() <= MAX_SCALE_BITS, "slack: coefficients that no scale of 16 bits makes whole")


def _check_tail(shape: Tail, count: int) -> None:
    rows = [shape.row, *shape.moves]
    for row in rows:
        _integer("row", row, 0, count - 1)
    _require(len(set(rows)) == len(rows), "slack: a row is there twice")
    _integer("denominator", shape.denominator, 1, 1 << MAX_SCALE_BITS)
    _integer("numerator", shape.numerator, 1, shape.denominator * len(shape.moves))
    _require(shape.scale.bit_length() <= MAX_SCALE_BITS, "slack: a tail whose scale takes more than 16 bits")


def _canonical(value: object) -> CanonicalValue:
    if isinstance(value, dict):
        return {name: _canonical(one) for name, one in value.items()}
    return [_canonical(one) for one in value] if isinstance(value, list | tuple) else str(value)


def _integer(name: str, value: object, low: int, high: int) -> None:
    _require(type(value) is int and low <= value <= high, f"slack: {name}: an integer from {low} to {high} is wanted")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise EngineTaskInvalid(message)
