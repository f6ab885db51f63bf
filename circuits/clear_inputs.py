"""Checks on the clear matrix and vector before they meet a ciphertext.

The FHE library wraps clear inputs that are wider than the width it compiled for, silently. Operator, agent and tests
all call `checked_clear_inputs` first. The bound on A z + c itself is the margin package's (`check_bounds`), because it
needs the gross weights.
"""

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.errors import ClearInputError
from atomic_margin.circuits.profile import Profile

IntArray = npt.NDArray[np.int64]


def checked_clear_inputs(
    profile: Profile, A: IntArray, c: IntArray, rows: int | None = None
) -> tuple[IntArray, IntArray]:
    """Return A and c as contiguous int64 arrays after checking shape and width.

    Args:
        profile: the compiled profile.
        A: weights, shape (R, N), each in [-2^(weight_bits-1), 2^(weight_bits-1)).
        c: collateral, shape (R,), each in [-2^(bits-1), 2^(bits-1)).
        rows: R, when it is not the profile's (the known-answer function has two rows).

    Raises:
        ClearInputError: names the row, the column and the limit.
    """
    rows = profile.rows if rows is None else rows
    for name, array, shape, bits in (
        ("A", A, (rows, profile.entries), profile.weight_bits),
        ("c", c, (rows,), profile.bits),
    ):
        if array.dtype != np.int64:
            raise ClearInputError(f"{name} must be int64, got {array.dtype}")
        if array.shape != shape:
            raise ClearInputError(f"{name} must have shape {shape} for profile {profile.name!r}, got {array.shape}")
        outside = np.argwhere((array < -(1 << (bits - 1))) | (array >= 1 << (bits - 1)))
        if len(outside):
            where = tuple(int(i) for i in outside[0])
            raise ClearInputError(
                f"{name}{list(where)} = {int(array[where])} does not fit {bits} signed bits; choose a coarser unit"
            )
    return np.ascontiguousarray(A), np.ascontiguousarray(c)
