"""The fast combination is the plain one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk.bits.combine import MAX_TERMS, combine
from atomic_margin.zk.groups import ORDER

EXTREMES = {np.int64: (-(2**63), -1, 0, 1, 2**63 - 1), np.uint64: (0, 1, 2**63, 2**64 - 1)}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_against_plain_integers(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.int64, np.uint64]))
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    rows, columns = data.draw(st.integers(0, 6)), data.draw(st.integers(1, 5))
    word = st.integers(low, high) | st.sampled_from(EXTREMES[dtype])
    words = data.draw(st.lists(st.lists(word, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    weight = st.integers(0, 2**256 - 1) | st.sampled_from([0, 1, ORDER - 1, 2**256 - 1])
    weights = data.draw(st.lists(weight, min_size=rows, max_size=rows))
    matrix = np.array(words, dtype=dtype).reshape(rows, columns)
    plain = [sum(w * row[j] for w, row in zip(weights, words, strict=True)) for j in range(columns)]
    assert combine(weights, matrix) == plain


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_the_largest_sums(dtype: type) -> None:
    for extreme in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        matrix = np.full((MAX_TERMS, 1), extreme, dtype=dtype)
        assert combine([2**256 - 1] * MAX_TERMS, matrix) == [MAX_TERMS * (2**256 - 1) * int(extreme)]


def test_more_columns_than_one_block_and_any_memory_layout() -> None:
    matrix = np.arange(3 * 5000, dtype=np.uint64).reshape(5000, 3)
    assert combine([1, 2**100, 5], matrix.T) == [int(a) + 2**100 * int(b) + 5 * int(c) for a, b, c in matrix]


@pytest.mark.parametrize(
    ("weights", "matrix"),
    [
        ([1], np.zeros((2, 1), dtype=np.int64)),
        ([1], np.zeros((1, 1))),
        ([1], np.zeros(1, dtype=np.int64)),
        ([0] * (MAX_TERMS + 1), np.zeros((MAX_TERMS + 1, 1), dtype=np.int64)),
    ],
)
def test_what_does_not_fit_is_refused(weights: list[int], matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"matrix is|weights for"):
        combine(weights, matrix)
