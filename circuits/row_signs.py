"""The sign of every row, without error, for circuits that share a module, so one ciphertext, with `shortfall`.

The compiler puts a function's input under the key of the lookups that consume it first. `shortfall` takes rows apart
into bits, whose lookups have parameters of their own; a function that only zooms would want z under another key, and
the institution would have to encrypt z twice. So in a module with `shortfall` every zooming function takes one bit of
one row apart too (the anchor), and multiplies it by a clear 0: one bootstrap more, and one ciphertext serves all.
"""

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.any_row import doubled_flags
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.inputs import zoomed_inputs
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.zoom import freshened, multipliers, signs

IntArray = npt.NDArray[np.int64]
Case = tuple[IntArray, ...]

_EXTRACTING = ("shortfall", "known_shortfall")


def is_anchored(profile: Profile) -> bool:
    """Whether the profile's module has a function that takes rows apart."""
    return any(name in profile.functions for name in _EXTRACTING)


def row_clear(profile: Profile) -> dict[str, IntArray]:
    """Return the clear inputs after A and c: `multipliers`, and `anchor` where there is one."""
    clear = {"multipliers": multipliers(profile.bits)}
    return {**clear, "anchor": np.array([0])} if is_anchored(profile) else clear


def row_inputs(profile: Profile, rows: int) -> list[Case]:
    """Return (z, A, c, multipliers), and the anchor where there is one, for the compiler."""
    cases: list[Case] = [*zoomed_inputs(profile, rows)]
    if not is_anchored(profile):
        return cases
    # The anchor is seen as 0 and as 1, so that it is no constant to the compiler.
    first, *others = ((*case, np.array([0])) for case in cases)
    return [first, (*cases[0], np.array([1])), *others]


def negative_rows(profile: Profile, rows: int, y: Any, scales: Any, anchor: Any = None) -> Any:
    """Return doubled flags, shape (rows,): 2 where a row is negative, else 0.

    Args:
        profile: of the module.
        rows: length of y.
        y: encrypted rows A z + c.
        scales: clear `multipliers`.
        anchor: clear `anchor`, where the module has one.
    """
    flags = doubled_flags(signs(y, scales, rows, profile.bits))
    return flags if anchor is None else flags + freshened(cfhe.bits(y[:1])[0]) * anchor


def with_clear_inputs(profile: Profile, function: Any) -> Any:
    """Return ``function(z, A, c, multipliers, anchor, *others)`` with the signature that `row_clear` calls for."""
    names = ["z", "A", "c", *row_clear(profile), *list(inspect.signature(function).parameters)[5:]]
    anchored = is_anchored(profile)

    def program(**named: Any) -> Any:
        values = [named[name] for name in names]
        return function(*values) if anchored else function(*values[:4], None, *values[4:])

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    program.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by the tracer
    return program
