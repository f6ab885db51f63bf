"""`surplus`: every row of A z + c, encrypted. No bootstrap."""

from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits import reference
from atomic_margin.circuits.circuit import Circuit, define
from atomic_margin.circuits.inputs import extreme_inputs
from atomic_margin.circuits.profile import Profile

IntArray = npt.NDArray[np.int64]


def integers(profile: Profile, z: IntArray, A: IntArray, c: IntArray) -> IntArray:
    """A z + c."""
    return reference.surplus(z, A, c)


def program(profile: Profile) -> Any:
    """Encrypted A z + c, shape (R,)."""

    def surplus(z: Any, A: Any, c: Any) -> Any:
        return A @ z + c

    return surplus


SURPLUS = define(
    Circuit(
        name="surplus",
        summary="every row of A z + c",
        program=program,
        integers=integers,
        inputs=lambda profile: extreme_inputs(profile, profile.rows),
    )
)
