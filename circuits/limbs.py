"""How a wide unsigned result leaves a circuit: several narrow ciphertexts, lowest first, whose weighted sum it is.

One ciphertext of 20 bits would need lookups whose output noise is that of the input, and keys to match. The lowest
limb may hold 2^LIMB_BITS itself. Anyone may import this module; it needs no FHE library.

>>> split(1000, bits=20).tolist()
[40, 15, 0, 0]
>>> join(split(1000, bits=20))
1000
"""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

LIMB_BITS = 6


def split(value: int, bits: int) -> IntArray:
    """Return the limbs that a circuit gives for a value in 0..2^(bits - 1), lowest first.

    They are those of value - 1, with 1 added to the lowest, because -y = 1 + (not y) in two's complement.
    """
    count, positive = -(-(bits - 1) // LIMB_BITS), int(value > 0)
    limbs = [(value - positive) >> (LIMB_BITS * i) & ((1 << LIMB_BITS) - 1) for i in range(count)]
    limbs[0] += positive
    return np.array(limbs, dtype=np.int64)


def join(limbs: IntArray) -> int:
    """Return the value of limbs, lowest first."""
    return sum(int(limb) << (LIMB_BITS * i) for i, limb in enumerate(limbs))
