"""`shortfall`: max(0, -min row) of A z + c, without error: what is missing in the worst scenario.

Every row is taken apart into bits. Rows then meet in pairs, bit by bit: the sign of the first bit in which they differ
says which is smaller (`zoom.first_sign`), and one lookup a bit passes that one on. The bits of the smallest row are
turned into its negative, or into 0 if it is not negative.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits import reference
from atomic_margin.circuits.any_row import doubled_flags
from atomic_margin.circuits.circuit import Circuit, define
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.inputs import Case, extreme_inputs, zero_entries, zero_weights
from atomic_margin.circuits.limbs import LIMB_BITS, split
from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, Profile
from atomic_margin.circuits.zoom import first_sign, freshened

IntArray = npt.NDArray[np.int64]

_WIDE_BITS = 20


def freshened_planes(bits: int) -> int:
    """Return how many of the lowest bits of every row are read once more before they are weighted and added.

    They come out of the extraction with the noise of a whole row. Reading them again spares the extraction a
    decomposition level in rows of up to 20 bits, two in wider ones (docs/benchmarks.md).
    """
    return 2 if bits <= _WIDE_BITS else 3


def integers(profile: Profile, z: IntArray, A: IntArray, c: IntArray) -> IntArray:
    """max(0, -min(A z + c)) in limbs, shape (limbs,)."""
    return split(reference.shortfall(z, A, c), profile.bits)


def program_of(profile: Profile, rows: int) -> Any:
    """Encrypted shortfall over `rows` rows in the unit of a row, in limbs (`circuits.limbs`), shape (limbs,)."""
    bits = profile.bits

    def shortfall(z: Any, A: Any, c: Any) -> Any:
        extracted = cfhe.bits(A @ z + c)
        planes = [extracted[i] for i in range(bits)]
        lowest = freshened_planes(bits)
        planes[:lowest] = [freshened(plane) for plane in planes[:lowest]]
        # Shape (bits, R), highest first.
        remaining = np.concatenate(tuple(plane.reshape((1, rows)) for plane in reversed(planes)))
        count = rows
        while count > 1:
            pairs = count // 2
            left, right = remaining[:, :pairs], remaining[:, pairs : 2 * pairs]
            # The highest bit is the sign: there the row with a 1 is the smaller.
            differences = [right[0] - left[0], *(left[i] - right[i] for i in range(1, bits))]
            left_wins = doubled_flags(first_sign(differences, bits)).reshape((1, pairs))
            winners = cfhe.univariate(_chosen)(2 * left_wins + 2 * left + right)
            odd = remaining[:, 2 * pairs :]
            remaining = np.concatenate((winners, odd), axis=1) if count % 2 else winners
            count = pairs + count % 2
        smallest = remaining.reshape((bits,))
        # Of a negative number, -y = 1 + the sum of 2^i over its bits that are 0. The term for the 1 is the sign itself.
        terms = 2 * smallest[:1] + 2 * np.concatenate((1 - smallest[1:], smallest[:1]))
        values = _values(bits)[terms]
        limbs = [
            np.sum(values[max(0, stop - LIMB_BITS) : stop], keepdims=True) for stop in range(bits - 1, 0, -LIMB_BITS)
        ]
        limbs[0] = limbs[0] + values[bits - 1 :]
        return np.concatenate(tuple(limbs))

    return shortfall


def _chosen(x: Any) -> Any:
    # x = 4 [left wins] + 2 left + right
    x = np.asarray(x)
    return np.where(x >= 4, (x // 2) % 2, x % 2)


def _values(bits: int) -> Any:
    """Tables that give a bit's value within its limb when sign and term are both 1, so that their doubled sum is 4."""
    values = [*(1 << (i % LIMB_BITS) for i in reversed(range(bits - 1))), 1]
    return cfhe.LookupTable([cfhe.LookupTable([0, 0, 0, 0, value, 0, 0, 0]) for value in values])


def brackets(rows: int) -> list[list[bool]]:
    """Return, for every round of pairs, which rows end on its right-hand side."""
    sizes = [rows]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2 + sizes[-1] % 2)
    sides = []
    for number in range(len(sizes) - 1):
        pairs = sizes[number] // 2
        right = [pairs <= slot < 2 * pairs for slot in range(sizes[number])]
        for size in reversed(sizes[:number]):
            before = size // 2
            right = [right[slot % before] if slot < 2 * before else right[-1] for slot in range(size)]
        sides.append(right)
    return sides


def inputs_of(profile: Profile, rows: int) -> list[Case]:
    """Return extreme inputs, then for every round and bit a pair whose left row is the smaller in that bit alone."""
    cases: list[Case] = [*extreme_inputs(profile, rows)]
    top = profile.bits - 1
    for first in range(profile.bits):
        c = np.zeros(rows, dtype=np.int64)
        for number, right in enumerate(brackets(rows)):
            # Another bit in each round, so that the winners of one still differ in the next.
            bit = (first + number) % profile.bits
            c += np.where(~np.array(right), -(1 << top), 0) if bit == top else np.where(right, 1 << bit, 0)
        cases.append((zero_entries(profile), zero_weights(profile, rows), c))
    return cases


SHORTFALL = define(
    Circuit(
        name="shortfall",
        summary="max(0, -min row) of A z + c; without error",
        program=lambda profile: program_of(profile, profile.rows),
        integers=integers,
        inputs=lambda profile: inputs_of(profile, profile.rows),
    )
)

KNOWN_SHORTFALL = define(
    Circuit(
        name="known_shortfall",
        summary="shortfall over two rows: fingerprints the FFT plans that shortfall uses",
        program=lambda profile: program_of(profile, KNOWN_ANSWER_ROWS),
        integers=integers,
        inputs=lambda profile: inputs_of(profile, KNOWN_ANSWER_ROWS),
        rows=KNOWN_ANSWER_ROWS,
    )
)
