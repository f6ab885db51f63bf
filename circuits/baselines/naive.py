"""`naive_breach`: the library's own comparison with 0 in every row, and one threshold.

The library compares integers of at most 16 bits, and each bit doubles the polynomials of its lookups: with eight bits
the expanded keys take 9 GB, with 16 one row takes minutes. So every row is first rounded down to four bits, without
error, which costs about as much as `straightforward_breach`.
"""

from typing import Any

import numpy as np

from atomic_margin.circuits.circuit import Circuit, define
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.inputs import extreme_inputs
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.programs.breach import integers

COMPARED_BITS = 4


def program(profile: Profile) -> Any:
    """Encrypted flag, shape (1,)."""
    dropped = profile.bits - COMPARED_BITS

    def naive_breach(z: Any, A: Any, c: Any) -> Any:
        # Half a step lower, so that rounding to the nearest is rounding down and keeps every sign.
        coarse = cfhe.round_bit_pattern(A @ z + c - (1 << (dropped - 1)), dropped, overflow_protection=False)
        negative = (coarse < 0).astype(np.int64)
        return (np.sum(negative, keepdims=True) > 0).astype(np.int64)

    return naive_breach


NAIVE_BREACH = define(
    Circuit(
        name="naive_breach",
        summary="breach by the library's own comparison in every row and one threshold lookup",
        program=program,
        integers=integers,
        inputs=lambda profile: extreme_inputs(profile, profile.rows),
        research_only=True,
        default_parameters=True,
    )
)
