"""The integers every circuit must agree with: A z + c, its signs and its least row, in int64, without rounding.

>>> import numpy as np
>>> A, c, z = np.array([[2, -1], [-3, 0]]), np.array([0, 5]), np.array([1, 2])
>>> surplus(z, A, c)
array([0, 2])
>>> breach(z, A, c), shortfall(z, A, c), exceedances(z, A, c - 3, allowed=1)
(0, 0, 1)
"""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def surplus(z: IntArray, A: IntArray, c: IntArray) -> IntArray:
    """Return A z + c; shapes (N,), (R, N), (R,) -> (R,)."""
    return A @ z + c


def breach(z: IntArray, A: IntArray, c: IntArray) -> int:
    """Return 1 when any row of A z + c is negative, else 0."""
    return int(bool((surplus(z, A, c) < 0).any()))


def shortfall(z: IntArray, A: IntArray, c: IntArray) -> int:
    """Return max(0, -min row) of A z + c."""
    return max(0, -int(surplus(z, A, c).min()))


def exceedances(z: IntArray, A: IntArray, c: IntArray, allowed: int) -> int:
    """Return 1 when more than `allowed` rows of A z + c are negative, else 0."""
    return int((surplus(z, A, c) < 0).sum() > allowed)
