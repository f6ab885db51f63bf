"""`breach`: whether any row of A z + c is negative, without error; and the two-row `known_answer` of the same form."""

from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits import reference
from atomic_margin.circuits.any_row import any_of
from atomic_margin.circuits.circuit import Circuit, define
from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, Profile
from atomic_margin.circuits.row_signs import negative_rows, row_clear, row_inputs, with_clear_inputs

IntArray = npt.NDArray[np.int64]


def integers(profile: Profile, z: IntArray, A: IntArray, c: IntArray, *clear: IntArray) -> IntArray:
    """1 when any row of A z + c is negative, else 0; shape (1,)."""
    return np.array([reference.breach(z, A, c)])


def program_of(profile: Profile, rows: int) -> Any:
    """Encrypted flag, shape (1,), over `rows` rows."""

    def breach(z: Any, A: Any, c: Any, multipliers: Any, anchor: Any) -> Any:
        return any_of(negative_rows(profile, rows, A @ z + c, multipliers, anchor), rows)

    return with_clear_inputs(profile, breach)


BREACH = define(
    Circuit(
        name="breach",
        summary="1 when any row of A z + c is negative, else 0; without error",
        program=lambda profile: program_of(profile, profile.rows),
        integers=integers,
        inputs=lambda profile: row_inputs(profile, profile.rows),
        clear=row_clear,
    )
)

KNOWN_ANSWER = define(
    Circuit(
        name="known_answer",
        summary="breach over two rows: tests keys, and fingerprints the FFT plan of a process",
        program=lambda profile: program_of(profile, KNOWN_ANSWER_ROWS),
        integers=integers,
        inputs=lambda profile: row_inputs(profile, KNOWN_ANSWER_ROWS),
        clear=row_clear,
        rows=KNOWN_ANSWER_ROWS,
    )
)
