"""Polynomials modulo r: their values, and what the values at some points count in another. Anyone may call it.

>>> factors = lagrange((1, 2, 4))
>>> sum(factor * (5 + 3 * point + 7 * point**2) for factor, point in zip(factors, (1, 2, 4))) % ORDER
5
"""

from collections.abc import Sequence

from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.groups import ORDER


def lagrange(points: Sequence[int], at: int = 0) -> tuple[int, ...]:
    """Return, modulo r, the factor of each of ``points`` in the value at ``at`` of a polynomial of lower degree.

    Raises:
        StatementError: a point occurs twice modulo r.
    """
    factors = []
    for index, point in enumerate(points):
        upper, lower = 1, 1
        for other in (*points[:index], *points[index + 1 :]):
            upper, lower = upper * (at - other) % ORDER, lower * (point - other) % ORDER
        if lower == 0:
            raise StatementError(f"point {point} occurs twice: a polynomial has one value there")
        factors.append(upper * pow(lower, -1, ORDER) % ORDER)
    return tuple(factors)


def evaluate(coefficients: Sequence[int], point: int) -> int:
    """Return the polynomial's value at ``point`` modulo r, by Horner's rule; ``coefficients`` begin with the constant.

    >>> evaluate((5, 3, 7), 2)
    39
    """
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % ORDER
    return value


def weighted(factors: Sequence[int], vectors: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the sum of the vectors, each times its factor, modulo r.

    >>> weighted((2, 1), ((1, 0), (5, 6)))
    (7, 6)
    """
    return tuple(
        sum(factor * item for factor, item in zip(factors, items, strict=True)) % ORDER
        for items in zip(*vectors, strict=True)
    )
