"""`straightforward_breach`: the sign bit of every row, all their lower bits taken off one by one, and one threshold.

The fixed denominator of every promise about `breach` and `shortfall`: it does not change when they do.
"""

from typing import Any

import numpy as np

from atomic_margin.circuits.circuit import Circuit, define
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.inputs import extreme_inputs
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.programs.breach import integers


def program(profile: Profile) -> Any:
    """Encrypted flag, shape (1,)."""
    top = profile.bits - 1

    def straightforward_breach(z: Any, A: Any, c: Any) -> Any:
        negative = cfhe.bits(A @ z + c)[top]
        # An integer, not a bool: booleans add as booleans.
        return (np.sum(negative, keepdims=True) > 0).astype(np.int64)

    return straightforward_breach


STRAIGHTFORWARD_BREACH = define(
    Circuit(
        name="straightforward_breach",
        summary="breach by the sign bit of every row and one threshold lookup",
        program=program,
        integers=integers,
        inputs=lambda profile: extreme_inputs(profile, profile.rows),
        research_only=True,
        default_parameters=True,
    )
)
