"""Integer combinations of rows of machine words, without rounding, at the speed of floats. Anyone may call it.

A statement about ciphertexts has relations with thousands of 64-bit coefficients each. Folding them into one under
255-bit weights takes half a million wide multiplications; here both sides are cut into 16-bit limbs and multiplied as
matrices of doubles. Every partial sum is an integer below 2^53 in absolute value, so the result is the same on any
processor and in any order of summation.

>>> combine([2**200, 3], np.array([[1, 2**64 - 1], [5, 0]], dtype=np.uint64)) == [2**200 + 15, 2**200 * (2**64 - 1)]
True
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_TERMS = 1 << 16
"""Most rows of one matrix: 2^16 products of two 16-bit limbs, four of them on one diagonal, stay below 2^53."""
_LIMB_BITS = 16
_LIMBS_PER_WORD = 4
_WORDS_AT_ONCE = 1 << 20
"""Words of the matrix cut into limbs at once: 32 MiB of doubles, however many rows there are."""


def combine(weights: Sequence[int], matrix: npt.NDArray[Any]) -> list[int]:
    """Return the sum of ``weights[k] * matrix[k]`` over all rows k, as one integer per column.

    Args:
        weights: non-negative integers below 2^256, one per row.
        matrix: int64 or uint64, shape (rows, columns), at most `MAX_TERMS` rows.

    Raises:
        ValueError: another type, shape or number of weights.
    """
    if matrix.dtype not in (np.int64, np.uint64) or matrix.ndim != 2:
        raise ValueError("the matrix is two-dimensional, of int64 or uint64")
    if len(weights) != matrix.shape[0] or len(weights) > MAX_TERMS:
        raise ValueError(f"{len(weights)} weights for {matrix.shape[0]} rows, allowed are {MAX_TERMS}")
    if not weights:
        return [0] * int(matrix.shape[1])
    limbs = -(-max(weight.bit_length() for weight in weights) // _LIMB_BITS) or 1
    encoded = b"".join(weight.to_bytes(2 * limbs, "little") for weight in weights)
    weight_limbs = np.frombuffer(encoded, dtype="<u2").reshape(len(weights), limbs).T.astype(np.float64)
    columns: list[int] = []
    step = max(1, _WORDS_AT_ONCE // len(weights))
    for start in range(0, matrix.shape[1], step):
        columns += _combine_block(weight_limbs, matrix[:, start : start + step])
    return columns


def _combine_block(weight_limbs: npt.NDArray[np.float64], matrix: npt.NDArray[Any]) -> list[int]:
    limbs, (rows, columns) = weight_limbs.shape[0], matrix.shape
    words = np.ascontiguousarray(matrix.astype("<i8" if matrix.dtype == np.int64 else "<u8"))
    cut = words.view("<u2").reshape(rows, columns, _LIMBS_PER_WORD).astype(np.float64)
    if matrix.dtype == np.int64:
        # In two's complement the sign sits in the highest limb alone.
        cut[:, :, -1] = words.view("<i2").reshape(rows, columns, _LIMBS_PER_WORD)[:, :, -1]
    products = (weight_limbs @ cut.reshape(rows, -1)).reshape(limbs, columns, _LIMBS_PER_WORD).astype(np.int64)
    # Limb i of a weight times limb j of a word belongs to position i + j; three more positions take the carries.
    positions = limbs + _LIMBS_PER_WORD + 3
    totals = np.zeros((columns, positions), dtype=np.int64)
    for limb in range(limbs):
        totals[:, limb : limb + _LIMBS_PER_WORD] += products[limb]
    for position in range(positions - 1):
        # Shifting right rounds down, so what stays behind is a non-negative limb, and the last one carries the sign.
        totals[:, position + 1] += totals[:, position] >> _LIMB_BITS
        totals[:, position] &= (1 << _LIMB_BITS) - 1
    data = totals.astype("<u2").tobytes()
    size = 2 * positions
    return [int.from_bytes(data[size * k : size * (k + 1)], "little", signed=True) for k in range(columns)]
