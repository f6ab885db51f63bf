"""The argument of `circuits.zoom`, against readings that fall out as badly as they can.

The model: a multiple m y lands on a ring of 16 boxes (3 bits and the padding bit). With an error below half a box it is
read as one of the two boxes it lies between, whichever harms more; a table f is read as -f(b - 8) in the padding half.
"""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.circuits.zoom import GRID_BITS, JOINED, REACH, first_sign, multipliers, plus_minus, ternary

IntArray = npt.NDArray[np.int64]
HALF_TURN = 1 << GRID_BITS
BITS = range(8, 25)


def on_ring(function: object, box: IntArray) -> IntArray:
    """What a table of -4..3 gives for a box anywhere on the ring."""
    box = (np.asarray(box) + HALF_TURN // 2) % (2 * HALF_TURN) - HALF_TURN // 2
    wrapped = box >= HALF_TURN // 2
    value: IntArray = function(np.where(wrapped, box - HALF_TURN, box))  # type: ignore[operator]
    return np.where(wrapped, -value, value)


def possible_readings(y: IntArray, multiplier: int, bits: int) -> tuple[IntArray, IntArray]:
    """The two ways, often equal, in which a multiple of y can be read: as the box below or above."""
    low = (y * multiplier) >> (bits - GRID_BITS)
    high = -((-y * multiplier) >> (bits - GRID_BITS))
    return on_ring(ternary, low), on_ring(ternary, high)


def deceived(y: IntArray, scales: list[int], bits: int) -> IntArray:
    """Those of y for which some readings make the first that is not 0 a wrong sign, or all 0 where y is not 0."""
    undecided, wrong = np.ones(len(y), dtype=bool), np.zeros(len(y), dtype=bool)
    for multiplier in scales:
        one, other = possible_readings(y, multiplier, bits)
        for reading in (one, other):
            wrong |= undecided & (reading != 0) & (reading != np.sign(y))
        undecided &= (one == 0) | (other == 0)
    return y[wrong | (undecided & (y != 0))]


def every_row(bits: int) -> IntArray:
    return np.arange(-(1 << (bits - 1)), 1 << (bits - 1), dtype=np.int64)


@pytest.mark.parametrize(
    "bits", [*range(8, 19), *(pytest.param(bits, marks=pytest.mark.slow) for bits in range(19, 25))]
)
def test_no_reading_of_any_row_deceives(bits: int) -> None:
    assert deceived(every_row(bits), multipliers(bits).tolist(), bits).tolist() == []


@given(st.data(), st.sampled_from(BITS))
def test_readings_joined_give_the_exact_sign(data: st.DataObject, bits: int) -> None:
    """The same through `first_sign`, as the circuit joins the readings, each chosen at will."""
    box, scales = 1 << (bits - GRID_BITS), multipliers(bits).tolist()
    # Near a half, one or seven boxes of some level as often as anywhere.
    near = st.builds(
        lambda halves, scale, off: halves * box // (2 * scale) + off,
        st.integers(-16, 16),
        st.sampled_from(scales),
        st.integers(-2, 2),
    )
    y = data.draw(near | st.integers(-4 * box, 4 * box - 1))
    y = max(-4 * box, min(4 * box - 1, y))
    readings = np.array(
        [possible_readings(np.array([y]), scale, bits)[data.draw(st.integers(0, 1))] for scale in scales]
    )
    assert first_sign(readings, len(scales)).tolist() == [1 if y >= 0 else -1]


@pytest.mark.parametrize("bits", BITS)
def test_multipliers(bits: int) -> None:
    scales, box = multipliers(bits).tolist(), 1 << (bits - GRID_BITS)
    assert scales[0] * (1 << (bits - 1)) <= REACH * box, "the first covers the whole range"
    assert scales[-1] == box, "under the last one unit is one box"
    for before, after in itertools.pairwise(scales):
        # Read as 0, a row lies strictly inside one box of the level before.
        farthest = (box - 1) // before
        assert farthest * after <= REACH * box, "the next level still fits on the grid"
        assert after > before
    assert len(multipliers(20)) == 7


@pytest.mark.parametrize("bits", [8, 11, 12, 13, 16, 17])
@pytest.mark.parametrize("wrong", ["factor 8", "one level dropped", "first doubled", "last halved"])
def test_other_multipliers_would_deceive(bits: int, wrong: str) -> None:
    """Otherwise the model would not be severe enough to show that ours are right."""
    scales, box = multipliers(bits).tolist(), 1 << (bits - GRID_BITS)
    tables = {
        "factor 8": [[*(8**i for i in range(bits) if 8**i * 8 <= box), box]],
        "one level dropped": [scales[:i] + scales[i + 1 :] for i in range(len(scales))],
        "first doubled": [[2 * scales[0], *scales[1:]]],
        "last halved": [[*scales[:-1], scales[-1] // 2]],
    }[wrong]
    for table in tables:
        assert len(deceived(every_row(bits), table, bits)), table


@pytest.mark.parametrize("function", [ternary, plus_minus])
def test_tables_read_right_as_far_as_they_reach(function: object) -> None:
    boxes = np.arange(-REACH, REACH + 1)
    assert np.array_equal(on_ring(function, boxes), function(boxes))  # type: ignore[operator]
    # One box farther they do not: nothing may land there.
    assert any(on_ring(function, np.array([box])) != function(np.array([box])) for box in (-REACH - 1, REACH + 1))  # type: ignore[operator]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_the_first_sign_wins(count: int) -> None:
    """All 3^count sequences (of ten and nine, a sample), through as many joins as it takes."""
    sequences = np.array(list(itertools.product((-1, 0, 1), repeat=min(count, 8))), dtype=np.int64).T
    if count > 8:
        more = np.random.default_rng(count).integers(-1, 2, (count - 8, sequences.shape[1]))
        sequences = np.concatenate((more * (np.arange(sequences.shape[1]) % 3 == 0), sequences))
    first = np.argmax(sequences != 0, axis=0)
    expected = np.where(sequences[first, np.arange(sequences.shape[1])] >= 0, 1, -1)
    assert np.array_equal(first_sign(sequences, count), expected)
    assert JOINED == 3
