"""Exponential, logarithm, power and normal distribution, the same to the bit on every machine.

For everything between prices and integers: whoever recomputes a matrix must get every bit of it, and `numpy.exp` and
`numpy.log` give other last bits on other processors. Here are only operations that IEEE 754 rounds exactly in float64,
one after the other in a fixed order: + - * /, square root, floor, comparison, and scaling by powers of two. The same
source serves numpy arrays (`ARRAYS`) and plain floats (`SCALARS`), and both give the same bits; tests hold them
together, and to 60-digit arithmetic.

Sources. Argument reduction, rational kernels and constants of `exp` and `log`: Sun Microsystems' fdlibm 5.3 (e_exp.c,
e_log.c), below 1 unit in the last place. The normal distribution is erfc(-x/√2)/2 with the rational Chebyshev
approximations of W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23
(1969), 631-637, with his splitting of exp(-x²).

>>> round(float(exp(1.0)), 14)
2.71828182845905
>>> float(normal_cdf(0.0))
0.5
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Operations(NamedTuple):
    """What the functions are made of, next to + - * /.

    Attributes:
        floor: the largest whole number that is not larger.
        where: one of two values, by a condition.
        minimum: the smaller of two.
        maximum: the larger of two.
        scaled: a value times 2 to a whole power, rounded once.
        parts: mantissa in [1/2, 1), and exponent.
        root: square root.
    """

    floor: Callable[[Any], Any]
    where: Callable[[Any, Any, Any], Any]
    minimum: Callable[[Any, Any], Any]
    maximum: Callable[[Any, Any], Any]
    scaled: Callable[[Any, Any], Any]
    parts: Callable[[Any], tuple[Any, Any]]
    root: Callable[[Any], Any]


def _scaled(values: Any, exponents: Any) -> Any:
    return np.ldexp(values, np.asarray(exponents).astype(np.int64))


ARRAYS: Final = Operations(np.floor, np.where, np.minimum, np.maximum, _scaled, np.frexp, np.sqrt)
SCALARS: Final = Operations(
    math.floor, lambda condition, yes, no: yes if condition else no, min, max, math.ldexp, math.frexp, math.sqrt
)

# ln 2 in two parts: the first has 32 trailing zero bits, so that k times it is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
# Beyond these exp is 0, and too large.
_EXP_LEAST, _EXP_MOST = -746.0, 709.782712893384
_EXP = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
# Cody's numerators and denominators, highest power first: erf near 0, and erfc in the middle and in the tail.
_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_MIDDLE = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)
_TAIL = (
    (
        1.63153871373020978e-2,
        3.05326634961232344e-1,
        3.60344899949804439e-1,
        1.25781726111229246e-1,
        1.60837851487422766e-2,
        6.58749161529837803e-4,
    ),
    (
        1.0,
        2.56852019228982242,
        1.87295284992346725,
        5.27905102951428412e-1,
        6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)
_INVERSE_ROOT_PI = 5.6418958354775628695e-1
_ROOT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
# N(-x) is zero in float64 from here.
_CDF_MOST = 39.0


def exp(values: Any, on: Operations = ARRAYS) -> Any:
    """Return e^x: 0 below about -745, infinity above about 709.78."""
    x = on.maximum(on.minimum(values, _EXP_MOST), _EXP_LEAST)
    k = on.floor(x * _INVERSE_LN2 + 0.5)
    high, low = x - k * _LN2_HIGH, k * _LN2_LOW
    r = high - low
    t = r * r
    p1, p2, p3, p4, p5 = _EXP
    c = r - t * (p1 + t * (p2 + t * (p3 + t * (p4 + t * p5))))
    found = on.scaled(1.0 - ((low - (r * c) / (2.0 - c)) - high), k)
    return on.where(values > _EXP_MOST, math.inf, found)


def log(values: Any, on: Operations = ARRAYS) -> Any:
    """Return ln x for x >= 0; -infinity at 0."""
    positive = on.where(values > 0, values, 1.0)
    finite = on.minimum(positive, 1.7976931348623157e308)
    m, k = on.parts(finite)
    small = m < _ROOT_HALF
    m, k = on.where(small, m * 2.0, m), on.where(small, k - 1.0, k)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    l1, l2, l3, l4, l5, l6, l7 = _LOG
    even, odd = w * (l2 + w * (l4 + w * l6)), z * (l1 + w * (l3 + w * (l5 + w * l7)))
    half = 0.5 * f * f
    found = k * _LN2_HIGH - ((half - (s * (half + (odd + even)) + k * _LN2_LOW)) - f)
    found = on.where(values == math.inf, math.inf, found)
    return on.where(values > 0, found, -math.inf)


def power(base: Any, exponent: Any, on: Operations = ARRAYS) -> Any:
    """Return base^exponent for base > 0, as exp(exponent * ln base): good for exponents of moderate size."""
    return exp(exponent * log(base, on), on)


def normal_cdf(values: Any, on: Operations = ARRAYS) -> Any:
    """Return N(x), the standard normal distribution; to a few units in the last place in the lower tail too."""
    x = on.minimum(abs(values), _CDF_MOST)
    y = x * _ROOT_HALF
    # erf(y) near 0.
    small = on.minimum(y, 0.5)
    near = small * _ratio(_NEAR, small * small)
    # erfc(y) in the middle and in the tail.
    far = on.maximum(y, 0.46875)
    inverse = 1.0 / (far * far)
    tail = (_INVERSE_ROOT_PI - inverse * _ratio(_TAIL, inverse)) / far
    middle = _ratio(_MIDDLE, on.minimum(far, 4.0))
    # exp(-x²/2), split so that the larger square is exact.
    cut = on.floor(x * 16.0) * 0.0625
    decay = exp(-0.5 * cut * cut, on) * exp(-0.5 * (x - cut) * (x + cut), on)
    erfc = decay * on.where(far <= 4.0, middle, tail)
    lower = on.where(y <= 0.46875, 0.5 - 0.5 * near, 0.5 * erfc)
    upper = on.where(y <= 0.46875, 0.5 + 0.5 * near, 1.0 - 0.5 * erfc)
    return on.where(values > 0, upper, lower)


def ordered_sum(values: npt.ArrayLike, axis: int = 0) -> Floats:
    """Return sums along an axis, from its first element to its last; 0 of nothing."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape[axis] == 0:
        return np.zeros(np.delete(array.shape, axis))
    found: Floats = np.take(np.add.accumulate(array, axis=axis), -1, axis=axis)
    return found


def ordered_product(left: npt.ArrayLike, right: npt.ArrayLike) -> Floats:
    """Return the product of (…, n) with (n, m), each sum from its first term to its last; no BLAS.

    Terms with a zero of ``right`` add nothing and are passed over, so a sparse matrix of legs costs little.

    >>> ordered_product([1.0, 2.0], [[1.0, 0.0], [0.5, 3.0]]).tolist()
    [2.0, 6.0]
    """
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    total = np.zeros((*a.shape[:-1], b.shape[1]))
    columns, rows = np.nonzero(b.T)
    if not columns.size:
        return total
    # The first term of every column at once, then the second of those that have one, and so on.
    place = np.arange(len(columns)) - np.searchsorted(columns, columns)
    order = np.argsort(place, kind="stable")
    for terms in np.split(order, np.cumsum(np.bincount(place))[:-1]):
        row, column = rows[terms], columns[terms]
        if len(column) == b.shape[1]:
            total += a[..., row] * b[row, column]
        else:
            total[..., column] += a[..., row] * b[row, column]
    return total


def _ratio(polynomials: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    above, below = polynomials
    numerator, denominator = above[0], below[0]
    for coefficient in above[1:]:
        numerator = numerator * x + coefficient
    for coefficient in below[1:]:
        denominator = denominator * x + coefficient
    return numerator / denominator
