"""Rows at which circuits could go wrong: around zero, at the extremes, and where a level of the zoom is ambiguous."""

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.cases import collateral_for
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.zoom import GRID_BITS, multipliers

IntArray = npt.NDArray[np.int64]
Case = tuple[IntArray, IntArray, IntArray]

HALF_BOXES = (1, 2, 13, 14, 15, 16)
"""Half a box, one box, and around seven boxes, the end of the grid, in halves of a box."""


def boundary_values(bits: int) -> list[int]:
    """Values of a row, ascending: both ends, around zero, and around `HALF_BOXES` of every level of the zoom."""
    top = 1 << (bits - 1)
    values = {-top, -top + 1, top - 2, top - 1, -2, -1, 0, 1, 2}
    for multiplier in multipliers(bits).tolist():
        for halves in HALF_BOXES:
            # That many half boxes of 2^(bits - 3) units, in units of a row, rounded down.
            value = (halves << (bits - GRID_BITS)) // (2 * multiplier)
            values |= {sign * (value + near) for sign in (-1, 1) for near in (-1, 0, 1)}
    return sorted(value for value in values if -top <= value < top)


def with_rows(profile: Profile, target: IntArray, rng: np.random.Generator) -> Case:
    """Return random (z, A, c) inside the widths with A z + c = target, shape (rows,)."""
    rows, top = len(target), 1 << (profile.bits - 1)
    z = rng.integers(0, 1 << profile.entry_bits, profile.entries)
    reach = 1 << int(rng.integers(0, profile.weight_bits))
    A = rng.integers(-reach, reach, (rows, profile.entries))
    # Few weights where they are large, so that c mostly fits.
    A *= rng.random(A.shape) < min(1.0, top / (32 * reach * profile.entries))
    return z, A, collateral_for(target, z, A, profile.bits)


def comfortable(profile: Profile, rows: int, rng: np.random.Generator) -> IntArray:
    """Rows far above zero, shape (rows,)."""
    top = 1 << (profile.bits - 1)
    return rng.integers(top // 2, top, rows)
