"""The sign of a wide encrypted integer, without error, by zooming: several times cheaper than taking its bits apart.

A table lookup reads its input on a grid of boxes; what lies between two boxes may be read as either. Zooming looks at
``x_i = m_i y`` for growing multipliers m_0 < m_1 < ..., and reads each as -1, 0 or +1:

- a reading of +1 or -1 is always the sign of y, because it needs |x_i| beyond half a box and the error is below half a
  box;
- a reading of 0 means |x_i| < 1 box, so the next multiple, seven times larger, still fits on the grid; the last step
  may be somewhat larger, since y is an integer: fewer than 8 units, each one box, are at most 7;
- after a reading other than 0 the larger multiples wrap around and read as anything in -1..1.

So the first reading that is not 0 is the sign of y, and if all are 0 then y = 0 (the last multiplier makes one unit of
y one box). The result does not depend on how the reading between two boxes fell out: it is free of error. Readings are
joined three at a time by ``4 a + 2 b + c``, whose sign is that of the first that is not 0.

The grid has 3 bits, -4..3, and a padding bit above. Every function read from it here is odd under half a turn of the
torus, f(x + 8) = -f(x), and the library stores tables so that an input running into the padding bit reads as -f(x - 8):
the sign comes out right over -7..7. The compiler knows nothing of this. It takes widths from the input set, which
therefore stays inside the grid while a run does not; `multipliers` enter as clear inputs of their full width, so that
the compiler's bound on the noise is that of a run. ADR 0020 has the argument in full, and the measurements.

>>> multipliers(20).tolist()
[1, 7, 49, 343, 2401, 16807, 131072]
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.concrete import cfhe

IntArray = npt.NDArray[np.int64]

GRID_BITS = 3
REACH = (1 << GRID_BITS) - 1
"""The farthest box, on either side of zero, on which an odd function reads right."""
JOINED = 3
"""Readings that one lookup joins: 4 + 2 + 1 = REACH."""
_WEIGHTS = (4, 2, 1)


def multipliers(bits: int) -> IntArray:
    """Return the multipliers for a two's-complement integer of `bits` bits, ascending, shape (levels,).

    One box is 2^(bits - 3) units, so the first covers the whole range and under the last one unit is one box.
    """
    box = 1 << (bits - GRID_BITS)
    values = [1]
    while box // values[-1] > REACH:
        values.append(REACH * values[-1])
    return np.array([*values, box], dtype=np.int64)


def ternary(x: Any) -> Any:
    """-1, 0, 1: the sign on the grid; odd."""
    return np.sign(np.asarray(x)).astype(np.int64)


def plus_minus(x: Any) -> Any:
    """1 where x >= 0, else -1; odd under half a turn, as -8..-1 and 0..7 are."""
    return np.where(np.asarray(x) >= 0, 1, -1)


def readings(y: Any, scales: Any, count: int, levels: int, bits: int) -> Any:
    """Read all multiples of encrypted integers: shapes (count,) and (levels,) -> (levels, count), each -1, 0 or 1."""
    multiples = y.reshape((1, count)) * scales.reshape((levels, 1))
    on_grid = cfhe.round_bit_pattern(
        multiples, bits - GRID_BITS, overflow_protection=False, exactness=cfhe.Exactness.APPROXIMATE
    )
    return cfhe.univariate(ternary)(on_grid)


def freshened(bit: Any) -> Any:
    """Return an encrypted bit with the small noise of a lookup's output, at the price of one lookup on the grid."""
    return cfhe.univariate(_less_three)(bit + 3)


def _less_three(x: Any) -> Any:
    return np.asarray(x) - 3


def first_sign(parts: Any, count: int) -> Any:
    """Join ternary values along the first axis: 1 where the first that is not 0 is 1 or all are 0, else -1.

    Args:
        parts: encrypted, shape (count, ...), or a list of `count` arrays of one shape, each -1, 0 or 1.
        count: at least two.
    """
    remaining = [parts[i] for i in range(count)]
    while len(remaining) > 1:
        last = len(remaining) <= JOINED
        joined = []
        for start in range(0, len(remaining), JOINED):
            group = remaining[start : start + JOINED]
            if len(group) == 1 and not last:
                joined.append(group[0])
                continue
            total = group[0] * _WEIGHTS[0]
            for value, weight in zip(group[1:], _WEIGHTS[1:], strict=False):
                total = total + value * weight
            joined.append(cfhe.univariate(plus_minus if last else ternary)(total))
        remaining = joined
    return remaining[0]


def signs(y: Any, scales: Any, count: int, bits: int) -> Any:
    """Signs of encrypted integers, without error, shape (count,): 1 where y >= 0, else -1.

    Args:
        y: encrypted, shape (count,), two's complement in `bits` bits.
        scales: clear, `multipliers(bits)`.
        count: length of y.
        bits: width of y.
    """
    levels = len(multipliers(bits))
    return first_sign(readings(y, scales, count, levels, bits), levels)
