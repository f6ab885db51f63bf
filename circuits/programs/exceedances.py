"""`exceedances`: whether more than `allowed` rows of A z + c are negative, for value at risk by historical scenarios.

With R historical scenarios, value at risk at level q is covered exactly when at most (1 - q) R of them lose more than
the collateral.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits import reference
from atomic_margin.circuits.any_row import any_of, counts, doubled_flags
from atomic_margin.circuits.circuit import Circuit, define
from atomic_margin.circuits.inputs import Case
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.row_signs import negative_rows, row_clear, row_inputs, with_clear_inputs
from atomic_margin.circuits.zoom import GRID_BITS, REACH, multipliers, signs

IntArray = npt.NDArray[np.int64]


def integers(profile: Profile, z: IntArray, A: IntArray, c: IntArray, *clear: IntArray) -> IntArray:
    """1 when more than `allowed` rows of A z + c are negative, else 0; shape (1,)."""
    return np.array([reference.exceedances(z, A, c, int(clear[-1][0]))])


def count_bits(rows: int) -> int:
    """Return a width on whose grid `allowed - count`, between -R and R - 1, can be zoomed."""
    bits = GRID_BITS + 1
    while rows > REACH << (bits - GRID_BITS):
        bits += 1
    return bits


def program(profile: Profile) -> Any:
    """Encrypted flag, shape (1,)."""
    rows = profile.rows

    def exceedances(z: Any, A: Any, c: Any, multipliers: Any, anchor: Any, count_multipliers: Any, allowed: Any) -> Any:
        negative = counts(negative_rows(profile, rows, A @ z + c, multipliers, anchor), rows)
        left = allowed - np.sum(negative, keepdims=True)
        return any_of(doubled_flags(signs(left, count_multipliers, 1, count_bits(rows))), 1)

    return with_clear_inputs(profile, exceedances)


def inputs(profile: Profile) -> list[Case]:
    """Return the rows' inputs, then counts as far as `count_bits` goes, and every reading of the count -1 alone."""
    rows, bits = profile.rows, count_bits(profile.rows)
    scales, box, most = multipliers(bits), 1 << (bits - GRID_BITS), min(rows, 1 << (bits - 1))
    unit = np.eye(len(scales), dtype=np.int64)
    cases = row_inputs(profile, rows)
    none_negative, (z, A, c, *clear) = cases[0], cases[-1]
    some_negative = (z, A, np.where(np.arange(rows) < most, c, 0), *clear)

    def allowed(value: int) -> IntArray:
        return np.array([value], dtype=np.int64)

    return [
        *((*case, 0 * scales, allowed((rows - 1) * _reads_negative(case))) for case in cases),
        (*none_negative, 0 * scales, allowed(0)),
        (*none_negative, scales, allowed(0)),
        (*some_negative, unit[0], allowed(0)),
        *((*some_negative, one, allowed(most - max(1, box // int(one.max())))) for one in unit * scales),
    ]


def _reads_negative(case: Case) -> bool:
    """Whether a case of `row_inputs` makes every row read as negative; those with multipliers of 0 read as 0."""
    return bool((case[2] < 0).all() and (case[3] > 0).any())


EXCEEDANCES = define(
    Circuit(
        name="exceedances",
        summary="1 when more than `allowed` rows of A z + c are negative, else 0; without error",
        program=program,
        integers=integers,
        inputs=inputs,
        clear=lambda profile: {
            **row_clear(profile),
            "count_multipliers": multipliers(count_bits(profile.rows)),
        },
        chosen=lambda profile: {"allowed": (0, profile.rows - 1)},
    )
)
