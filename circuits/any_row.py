"""Whether any of several encrypted conditions holds, and how many: sums of flags between lookups.

A flag is carried doubled, 0 or 2, because `1 - sign` is: sums are halved by reading them one bit coarser, for free.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.zoom import GRID_BITS, REACH

WIDE = 1 << (GRID_BITS - 1)
"""A value that needs every bit of the grid."""


def doubled_flags(signs: Any) -> Any:
    """2 where a sign is -1, 0 where it is 1."""
    return 1 - signs


def any_of(doubled: Any, count: int) -> Any:
    """Return 1, shape (1,), when any of `count` doubled flags is 2, else 0."""
    while True:
        last = count <= REACH
        sums = group_sums(doubled, count)
        if last:
            # As wide as the other lookups' inputs, so that it needs no parameters and keys of its own.
            return cfhe.univariate(_is_positive)(_halved(sums * -(-WIDE // count)))
        doubled, count = cfhe.univariate(_is_positive_doubled)(_halved(sums)), -(-count // REACH)


def counts(doubled: Any, count: int) -> Any:
    """Return how many of `count` doubled flags are 2, in groups: encrypted, shape (groups,), each at most 7."""
    return cfhe.univariate(_itself)(_halved(group_sums(doubled, count)))


def group_sums(doubled: Any, count: int) -> Any:
    """Sum `count` values in groups of nearly equal size, at most seven: shape (groups,)."""
    groups = -(-count // REACH)
    bounds = [i * count // groups for i in range(groups + 1)]
    sums = [np.sum(doubled[low:high], keepdims=True) for low, high in pairwise(bounds)]
    return np.concatenate(tuple(sums)) if groups > 1 else sums[0]


def _halved(doubled: Any) -> Any:
    # The library rounds to even values and reads the table one bit coarser.
    return cfhe.round_bit_pattern(doubled, 1, overflow_protection=False, exactness=cfhe.Exactness.APPROXIMATE)


def _is_positive(x: Any) -> Any:
    # An integer, not a bool: the tracer adds booleans as booleans, and an encrypted sum would overflow silently.
    return np.where(np.asarray(x) > 0, 1, 0)


def _itself(x: Any) -> Any:
    return np.asarray(x) // 2


def _is_positive_doubled(x: Any) -> Any:
    return np.where(np.asarray(x) > 0, 2, 0)
