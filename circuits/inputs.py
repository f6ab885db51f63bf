"""Inputs from which the compiler takes every width: they must reach both ends of each value, and no further.

The compiler knows nothing else about widths. An end that is not reached wraps silently in a run; one that is
overstepped costs a wider, dearer circuit, and here would break the zooming (`zoom`), which keeps to its grid.
"""

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.zoom import GRID_BITS, multipliers

IntArray = npt.NDArray[np.int64]
Case = tuple[IntArray, ...]


def zero_entries(profile: Profile) -> IntArray:
    """Entries of 0, shape (N,)."""
    return np.zeros(profile.entries, dtype=np.int64)


def zero_weights(profile: Profile, rows: int) -> IntArray:
    """Weights of 0, shape (R, N)."""
    return np.zeros((rows, profile.entries), dtype=np.int64)


def constant(value: int, rows: int) -> IntArray:
    """Collateral with one value in every row, shape (R,)."""
    return np.full(rows, value, dtype=np.int64)


def extreme_inputs(profile: Profile, rows: int) -> list[Case]:
    """Return (z, A, c) that reach both ends of z, of A, of c and of A z + c."""
    top, weight_top, digit = 1 << (profile.bits - 1), 1 << (profile.weight_bits - 1), (1 << profile.entry_bits) - 1
    zero_z, zero_A = zero_entries(profile), zero_weights(profile, rows)
    full_z, one_z = zero_z + digit, zero_z.copy()
    one_z[0] = 1
    high_A, low_A = zero_A.copy(), zero_A.copy()
    high_A[:, 0], low_A[:, 0] = weight_top - 1, -weight_top
    return [
        (zero_z, zero_A, constant(top - 1, rows)),
        (zero_z, zero_A, constant(-top, rows)),
        (full_z, zero_A, constant(top - 1, rows)),
        (one_z, high_A, constant(top - weight_top, rows)),
        (one_z, low_A, constant(weight_top - top, rows)),
    ]


def zoomed_inputs(profile: Profile, rows: int, levels: int | None = None) -> list[Case]:
    """Return (z, A, c, multipliers) for a circuit that takes the sign of every row.

    Multipliers reach their full width, multiples both ends of `bits` bits, and every reading -1 alone, so that no sum
    of readings leaves the grid.
    """
    scales = multipliers(profile.bits)[:levels]
    unit = np.eye(len(scales), dtype=np.int64)
    zero_z, zero_A = zero_entries(profile), zero_weights(profile, rows)
    top = 1 << (profile.bits - 1)
    box = -(1 << (profile.bits - GRID_BITS))
    return [
        *((*case, 0 * scales) for case in extreme_inputs(profile, rows)),
        (zero_z, zero_A, constant(0, rows), scales),
        (zero_z, zero_A, constant(-top, rows), unit[0]),
        *((zero_z, zero_A, constant(box, rows), one) for one in unit),
    ]
