"""Straight lines between nodes, held flat outside: how a missing number between given ones is found.

For volatilities that nobody quoted and for moves that are given at some times to expiry. The bits are the same on
every machine, since there is only + - * / and comparison, one after the other. At a node the value is the node's
own to the bit, and between two nodes it never leaves them, whatever rounding does.

>>> float(interpolate(45.0, [30.0, 60.0], [0.2, 0.1]))
0.15000000000000002
>>> [float(interpolate(days, [30.0, 60.0], [0.2, 0.1])) for days in (0.0, 30.0, 60.0, 1000.0)]
[0.2, 0.2, 0.1, 0.1]
"""

from collections.abc import Sequence
from typing import Any

from atomic_margin.margin.market.elementary import ARRAYS, Operations


def interpolate(at: Any, places: Sequence[float], values: Sequence[float], on: Operations = ARRAYS) -> Any:
    """Return values between nodes, of the shape of ``at``.

    Args:
        at: where; any shape.
        places: of the nodes, never falling; at least one.
        values: at the nodes.
        on: operations on arrays, or on plain floats; the bits are the same.
    """
    found = on.where(at >= places[0], values[0], values[0])
    for left, right, first, second in zip(places, places[1:], values, values[1:], strict=False):
        # Two places so close that they are one number have no line between them, only a step.
        line = first + (second - first) * ((at - left) / (right - left or 1.0))
        held = on.minimum(on.maximum(line, min(first, second)), max(first, second))
        found = on.where(at > left, on.where(at >= right, second, held), found)
    return found
