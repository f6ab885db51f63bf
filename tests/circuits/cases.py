"""Portfolios and matrices for differential tests: random ones, and ones whose rows sit at and around zero."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import Profile

IntArray = npt.NDArray[np.int64]
Case = tuple[IntArray, IntArray, IntArray]


def cases(profile: Profile, count: int, seed: int) -> Iterator[Case]:
    """Yield (z, A, c) inside the profile's widths, with A z + c inside `bits` signed bits."""
    rng = np.random.default_rng(seed)
    top, digit = 1 << (profile.bits - 1), (1 << profile.entry_bits) - 1
    weight_top = 1 << (profile.weight_bits - 1)
    boundaries = [-1, 0, 1, -top, top - 1, -2, 2]
    for number in range(count):
        z = rng.integers(0, digit + 1, profile.entries)
        if number % 5 == 1:
            z[:] = digit
        if number % 5 == 2:
            z[:] = 0
        # From many small weights to one that fills the declared width.
        reach = int(rng.choice([1, 8, 64, weight_top]))
        A = rng.integers(-reach, reach, (profile.rows, profile.entries))
        A *= rng.random((profile.rows, profile.entries)) < min(1.0, top / 2 / (reach * profile.entries * 16))
        target = rng.integers(0, top, profile.rows)
        if number % 2:
            row = int(rng.integers(profile.rows))
            target[row] = boundaries[(number // 2) % len(boundaries)]
        if number % 7 == 3:
            target = rng.integers(-top, top, profile.rows)
        c = target - A @ z
        # Where the collateral would not fit its width, the row keeps its weights and loses the target.
        wide = (c < -top) | (c >= top)
        A[wide], c[wide] = 0, target[wide]
        yield z, A, c
