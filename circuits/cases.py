"""Portfolios and matrices for differential tests: random ones, and ones whose rows sit at and around zero.

Anyone may import this module; it needs no FHE library.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.circuit import Circuit
from atomic_margin.circuits.profile import Profile

IntArray = npt.NDArray[np.int64]
Case = tuple[IntArray, IntArray, IntArray]

EITHER = -1
"""What `Circuit.integers` gives where a circuit may answer anything (an approximate one, near its threshold)."""


@dataclass(frozen=True)
class Trial:
    """One differential test of one circuit: its inputs, and what must come out.

    Attributes:
        z: entries, shape (N,).
        clear: the clear inputs in the program's order: A, shape (R, N), c, shape (R,), and the circuit's own.
        expected: flat; `EITHER` where anything will do.
    """

    z: IntArray
    clear: tuple[IntArray, ...]
    expected: IntArray

    def agrees(self, output: IntArray) -> bool:
        """Whether decrypted values, flat, are what they must be."""
        if output.shape != self.expected.shape:
            return False
        return bool((output == self.expected).all() or (self.expected == EITHER).all())


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
        # Of even number, so that it takes no boundary's place.
        if number % 8 == 6:
            target = rng.integers(-top, top, profile.rows)
        yield z, A, collateral_for(target, z, A, profile.bits)


def collateral_for(target: IntArray, z: IntArray, A: IntArray, bits: int) -> IntArray:
    """Return c, shape (R,), with A z + c = target; rows of A with which c would not fit its width are changed in place.

    They are left with one weight of 1 or -1, and so are rows without any weight: without one a row is no ciphertext but
    a plain number, whose lookups have no noise and cost nothing.

    Args:
        target: rows, shape (R,), each in `bits` signed bits.
        z: entries, shape (N,).
        A: weights, shape (R, N).
        bits: of a row.
    """
    top = 1 << (bits - 1)
    c = target - A @ z
    unfit = (c < -top) | (c >= top) | (A == 0).all(axis=1)
    A[unfit] = 0
    # In the middle, and towards the target, so that c stays within its width.
    A[unfit, len(z) // 2] = np.where(target[unfit] < 0, -1, 1)
    fitting: IntArray = target - A @ z
    return fitting


def trials_of(circuit: Circuit, profile: Profile, count: int, seed: int) -> Iterator[Trial]:
    """Yield `count` trials of a circuit on `cases`; values that a caller chooses are drawn at random."""
    rng = np.random.default_rng(seed + 1)
    rows = circuit.rows_of(profile)
    for z, A, c in cases(profile, count, seed):
        chosen = {name: int(rng.integers(low, high + 1)) for name, (low, high) in circuit.chosen(profile).items()}
        clear = (A[:rows], c[:rows], *circuit.clear_inputs(profile, chosen))
        yield Trial(z, clear, circuit.integers(profile, z, *clear))
