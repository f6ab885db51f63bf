"""The tournament of the shortfall circuit: its brackets, ties, and the least row in every position."""

import numpy as np
import pytest

from atomic_margin.circuits.limbs import LIMB_BITS, join, split
from atomic_margin.circuits.programs.shortfall import brackets

from .simulated import one_function, simulated

pytestmark = pytest.mark.long


def slots_by_playing(rows: int) -> list[list[int]]:
    """Which rows can stand in each slot in each round, by playing the tournament as the program slices it."""
    rounds, slots = [], [{row} for row in range(rows)]
    while len(slots) > 1:
        rounds.append(slots)
        pairs = len(slots) // 2
        slots = [slots[i] | slots[pairs + i] for i in range(pairs)] + slots[2 * pairs :]
    return [[next(i for i, slot in enumerate(slots) if row in slot) for row in range(rows)] for slots in rounds]


@pytest.mark.parametrize("rows", range(2, 41))
def test_brackets_say_which_rows_end_on_the_right(rows: int) -> None:
    played = slots_by_playing(rows)
    sides = brackets(rows)
    assert len(sides) == len(played)
    for side, slots in zip(sides, played, strict=True):
        pairs = (max(slots) + 1) // 2
        assert side == [pairs <= slot < 2 * pairs for slot in slots]
        # Two rows meet in each pair at least, so that no round's inputs are all on one side.
        assert 0 < sum(side) < rows


@pytest.mark.parametrize(
    "rows", [3, 7, *(pytest.param(rows, marks=pytest.mark.slow) for rows in (2, 9, 16, 17, 33, 40))]
)
def test_the_least_row_is_found_in_every_position_and_in_ties(rows: int) -> None:
    run = simulated(one_function("shortfall", rows=rows), "shortfall")
    z, A, rng = np.zeros(2, dtype=np.int64), np.zeros((rows, 2), dtype=np.int64), np.random.default_rng(rows)

    def shortfall(c: np.ndarray) -> int:
        limbs = run(z, A, c)
        assert limbs.tolist() == split(max(0, -int(c.min())), 8).tolist(), c
        return join(limbs)

    for row in range(rows):
        for least, others in [(-128, 127), (-128, -127), (-1, 0), (-64, -63), (126, 127), (-100, 100)]:
            c = np.full(rows, others, dtype=np.int64)
            c[row] = least
            assert shortfall(c) == max(0, -least)
            # A tie of the least row with its neighbour and with the row farthest away.
            c[(row + 1) % rows] = c[row - rows // 2] = least
            assert shortfall(c) == max(0, -least)
    for value in (-128, -127, -1, 0, 1, 127):
        assert shortfall(np.full(rows, value, dtype=np.int64)) == max(0, -value)
    for _ in range(40):
        # Few values, so that ties occur in every round.
        shortfall(rng.choice(rng.integers(-128, 128, 3), rows))


@pytest.mark.parametrize("bits", range(8, 25))
def test_limbs_join_to_the_value_that_was_split(bits: int) -> None:
    top = 1 << (bits - 1)
    for value in {0, 1, 2, 63, 64, 65, 4095, 4096, 4097, top - 1, top} & set(range(top + 1)):
        limbs = split(value, bits)
        assert join(limbs) == value
        assert limbs.min() >= 0
        assert limbs[0] <= 1 << LIMB_BITS
        assert (limbs[1:] < 1 << LIMB_BITS).all()


@pytest.mark.parametrize("bits", [8, 20, *(pytest.param(bits, marks=pytest.mark.slow) for bits in (13, 14, 19, 24))])
def test_every_limb_is_carried_at_every_width(bits: int) -> None:
    run = simulated(one_function("shortfall", rows=2, bits=bits), "shortfall")
    z, A, top = np.zeros(2, dtype=np.int64), np.zeros((2, 2), dtype=np.int64), 1 << (bits - 1)
    for value in {-top, 1 - top, -1, 0, 1, *(-(1 << i) + near for i in range(bits - 1) for near in (-1, 0, 1))}:
        c = np.array([value, top - 1], dtype=np.int64)
        assert run(z, A, c).tolist() == split(max(0, -value), bits).tolist(), value
