"""Pedersen commitments to many values, from tables of multiples of both bases. Prover only.

A table holds d 2^(8w) times its base for each of the 32 windows w of a scalar and each digit d: 8,192 points of some
200 bytes. A commitment takes 64 additions then instead of two multiplications. There are two tables a backend, made
for the first `TABLE_FROM` commitments at once. They take less than 4 MiB of arkworks' points, or 10 MiB of the
reference's. Which points are looked up depends on the secret values, like all that the prover does.

>>> from atomic_margin.zk.groups import load_group
>>> commit_all(load_group("auto"), (3, 5), (7, 8)) == commit_all(load_group("auto"), [3, 5] * 32, [7, 8] * 32)[:2]
True
"""

import functools
from collections.abc import Sequence

from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, SCALAR_BYTES, Group, Point

TABLE_FROM = 64
"""Commitments from which on making the tables costs less than it saves."""
_DIGITS = 256


class FixedBase:
    """Multiples of one point, by a table of all digits of all windows of eight bits."""

    def __init__(self, group: Group, point: Point) -> None:
        self._group = group
        self._windows: list[list[Point]] = []
        for _ in range(SCALAR_BYTES):
            window = [group.identity()]
            for _ in range(_DIGITS):
                window.append(window[-1] + point)
            # The digit after the last is the first of the next window.
            point = window.pop()
            self._windows.append(window)

    def multiply(self, value: int) -> Point:
        """Return ``value``, modulo `ORDER`, times the point."""
        digits = (value % ORDER).to_bytes(SCALAR_BYTES, "little")
        return self._group.add_up(window[digit] for window, digit in zip(self._windows, digits, strict=True))


@functools.lru_cache(maxsize=2)
def _tables(group: Group) -> tuple[FixedBase, FixedBase]:
    bases = load_generators(group, 0)
    return FixedBase(group, bases.value), FixedBase(group, bases.blinding)


def commit_all(group: Group, values: Sequence[int], blindings: Sequence[int]) -> tuple[bytes, ...]:
    """Return the encoded commitments v G + gamma H, one for each pair.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = list(zip(values, blindings, strict=True))
    if len(pairs) < TABLE_FROM:
        generators = load_generators(group, 0)
        bases = [generators.value, generators.blinding]
        return tuple(group.encode_point(group.msm(bases, group.scalars(opening))) for opening in pairs)
    on_value, on_blinding = _tables(group)
    return tuple(
        group.encode_point(on_value.multiply(value) + on_blinding.multiply(blinding)) for value, blinding in pairs
    )
