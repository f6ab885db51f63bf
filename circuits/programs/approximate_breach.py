"""`approximate_breach`, for research only: the first three levels of the zoom, which tell rows beyond a threshold.

A row closer to zero than about 2^(bits - 3) / 49 may be read as either sign, depending on the noise of its ciphertext,
which depends on the secret key: decrypting such a flag and telling anybody the outcome leaks key material. No profile
that a service runs contains this circuit.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.any_row import any_of, doubled_flags
from atomic_margin.circuits.circuit import Circuit, define
from atomic_margin.circuits.inputs import zoomed_inputs
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.zoom import GRID_BITS, first_sign, multipliers, readings

IntArray = npt.NDArray[np.int64]

LEVELS = 3


def resolution(profile: Profile) -> int:
    """Return the magnitude, in units of a row, from which on a row's sign is read right."""
    return (1 << (profile.bits - GRID_BITS)) // int(multipliers(profile.bits)[LEVELS - 1]) + 1


def integers(profile: Profile, z: IntArray, A: IntArray, c: IntArray, multipliers: IntArray) -> IntArray:
    """1 when a row is at most -resolution, 0 when none is negative, and -1 for "either will do"; shape (1,)."""
    rows = A @ z + c
    if (rows <= -resolution(profile)).any():
        return np.array([1])
    return np.array([-1 if (rows < 0).any() else 0])


def program(profile: Profile) -> Any:
    """Encrypted flag, shape (1,)."""
    rows = profile.rows

    def approximate_breach(z: Any, A: Any, c: Any, multipliers: Any) -> Any:
        read = readings(A @ z + c, multipliers, rows, LEVELS, profile.bits)
        return any_of(doubled_flags(first_sign(read, LEVELS)), rows)

    return approximate_breach


APPROXIMATE_BREACH = define(
    Circuit(
        name="approximate_breach",
        summary="breach to about 0.3 % of a row's range; its output may not be decrypted outside research",
        program=program,
        integers=integers,
        inputs=lambda profile: zoomed_inputs(profile, profile.rows, LEVELS),
        clear=lambda profile: {"multipliers": multipliers(profile.bits)[:LEVELS]},
        research_only=True,
    )
)
