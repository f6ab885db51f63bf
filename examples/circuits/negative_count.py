"""`negative_count`: how many rows of A z + c are negative, without error. docs/researcher.md goes through it.

atomic-margin bench fhe --circuit-file examples/circuits/negative_count.py
"""

import numpy as np

from atomic_margin.circuits import Circuit, counts, define, doubled_flags, multipliers, signs, zoomed_inputs


def program(profile):
    """Encrypted count, shape (1,)."""

    def negative_count(z, A, c, multipliers):
        negative = doubled_flags(signs(A @ z + c, multipliers, profile.rows, profile.bits))
        return np.sum(counts(negative, profile.rows), keepdims=True)

    return negative_count


NEGATIVE_COUNT = define(
    Circuit(
        name="negative_count",
        summary="how many rows of A z + c are negative; without error",
        program=program,
        integers=lambda profile, z, A, c, multipliers: np.array([np.sum(A @ z + c < 0)]),
        inputs=lambda profile: zoomed_inputs(profile, profile.rows),
        clear=lambda profile: {"multipliers": multipliers(profile.bits)},
    )
)
