"""Vectors of scalars, on either backend. For the argument's own modules.

>>> from atomic_margin.zk.groups import load_group
>>> group = load_group("auto")
>>> group.integer(inner(group, powers(group, group.scalar(2), 3), group.scalars([1, 1, 1])))
7
"""

import itertools
import operator
from collections.abc import Iterable, Sequence

from atomic_margin.zk.groups import Group, Scalar


def inner(group: Group, left: Iterable[Scalar], right: Iterable[Scalar]) -> Scalar:
    """Return the inner product; the shorter vector decides the length, so callers pass equal lengths."""
    return sum(map(operator.mul, left, right), group.scalar(0))


def powers(group: Group, base: Scalar, count: int) -> list[Scalar]:
    """Return 1, base, base^2, … (``count`` of them)."""
    return list(itertools.accumulate(itertools.repeat(base, count - 1), operator.mul, initial=group.scalar(1)))


def scale(vector: Iterable[Scalar], factor: Scalar) -> list[Scalar]:
    """Return every element times ``factor``."""
    return list(map(operator.mul, vector, itertools.repeat(factor)))


def plus(left: Sequence[Scalar], right: Sequence[Scalar]) -> list[Scalar]:
    """Return the element-wise sum."""
    return list(map(operator.add, left, right))


def times(left: Sequence[Scalar], right: Sequence[Scalar]) -> list[Scalar]:
    """Return the element-wise product."""
    return list(map(operator.mul, left, right))
