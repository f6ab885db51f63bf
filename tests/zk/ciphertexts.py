"""LWE ciphertexts on raw words, made with nothing but Python integers."""

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]


def random_key(dimension: int, seed: int = 1) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(2) for _ in range(dimension))


def encrypt(
    values: Sequence[int],
    key: Sequence[int],
    scale_bits: int,
    errors: Sequence[int] | None = None,
    seed: int = 2,
) -> tuple[Words, Words]:
    """Masks and bodies with the given errors, by default small random ones."""
    rng = random.Random(seed)
    errors = [rng.randrange(-(2**14), 2**14) for _ in values] if errors is None else errors
    masks = [[rng.randrange(2**64) for _ in key] for _ in values]
    bodies = [
        (sum(a * s for a, s in zip(mask, key, strict=True)) + (value << scale_bits) + error) % 2**64
        for mask, value, error in zip(masks, values, errors, strict=True)
    ]
    return np.array(masks, dtype=np.uint64), np.array(bodies, dtype=np.uint64)
