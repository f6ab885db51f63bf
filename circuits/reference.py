"""The integers every circuit must agree with: A z + c and its sign, in exact int64 arithmetic.

>>> import numpy as np
>>> A, c, z = np.array([[2, -1], [-3, 0]]), np.array([0, 5]), np.array([1, 2])
>>> surplus(z, A, c)
array([0, 2])
>>> breach(z, A, c)
0
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
