"""What a circuit is: a program the compiler traces, the integers it must agree with, and the inputs that bound it.

A circuit is one value of `Circuit`, made with `define`. Everything else follows from it: `compiling` compiles any set
of circuits under one key set, the differential tests hold each against its integers, `atomic-margin bench fhe` times
it. docs/researcher.md adds one in a single file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import Profile

IntArray = npt.NDArray[np.int64]
Program = Callable[..., Any]
Case = tuple[IntArray, ...]


def _nothing(profile: Profile) -> dict[str, IntArray]:
    return {}


@dataclass(frozen=True)
class Circuit:
    """One function over the encrypted entries z and the clear A and c.

    Attributes:
        name: of the function inside a compiled module.
        summary: one line, for people.
        program: ``program(profile)`` returns the function that is traced: ``f(z, A, c, *clear)`` -> encrypted array.
        integers: ``integers(profile, z, A, c, *clear)`` -> the plain result, flat int64; what decryption must give.
        inputs: ``inputs(profile)`` -> inputs (z, A, c, *clear) from which the compiler takes every width.
        clear: ``clear(profile)`` -> further clear inputs by name, fixed by the profile (zoom multipliers).
        chosen: further clear inputs by name that a caller chooses for each run, shape (1,), with their bounds.
        rows: rows of A, when it is not the profile's.
        research_only: it never enters a profile that a service runs: its decrypted output may depend on noise, or it is
            there to be compared with.
        default_parameters: its module is compiled with the library's own choice of parameters.
    """

    name: str
    summary: str
    program: Callable[[Profile], Program]
    integers: Callable[..., IntArray]
    inputs: Callable[[Profile], list[Case]]
    clear: Callable[[Profile], dict[str, IntArray]] = _nothing
    chosen: Callable[[Profile], dict[str, tuple[int, int]]] = lambda profile: {}
    rows: int | None = None
    research_only: bool = False
    default_parameters: bool = False

    def rows_of(self, profile: Profile) -> int:
        """Rows of A for this circuit."""
        return profile.rows if self.rows is None else self.rows

    def clear_inputs(self, profile: Profile, chosen: dict[str, int] | None = None) -> tuple[IntArray, ...]:
        """Return the clear inputs after A and c, in the program's order.

        Args:
            profile: of the module.
            chosen: the values of this run for every name in `self.chosen`.

        Raises:
            ProfileError: a value is missing, unknown or outside its bounds.
        """
        bounds, given = self.chosen(profile), chosen or {}
        if set(bounds) != set(given):
            raise ProfileError(f"{self.name} takes the values {sorted(bounds)}, got {sorted(given)}")
        for name, (low, high) in bounds.items():
            if not low <= given[name] <= high:
                raise ProfileError(f"{self.name}: {name} must lie in {low}..{high}, got {given[name]}")
        return *self.clear(profile).values(), *(np.array([given[name]], dtype=np.int64) for name in bounds)

    def names(self, profile: Profile) -> tuple[str, ...]:
        """Names of all clear inputs, in the program's order."""
        return "A", "c", *self.clear(profile), *self.chosen(profile)


_circuits: dict[str, Circuit] = {}


def define(circuit: Circuit) -> Circuit:
    """Make `circuit` known by its name, to profiles, tests and the bench; returns it.

    Raises:
        ProfileError: another circuit has that name.
    """
    if _circuits.setdefault(circuit.name, circuit) is not circuit:
        raise ProfileError(f"there is a circuit named {circuit.name!r} already")
    return circuit


def circuit_by_name(name: str) -> Circuit:
    """Return a defined circuit.

    Raises:
        ProfileError: no circuit has that name.
    """
    try:
        return _circuits[name]
    except KeyError:
        raise ProfileError(f"no circuit named {name!r}; there are: {', '.join(sorted(_circuits))}") from None


def defined() -> tuple[Circuit, ...]:
    """Every circuit known so far, in the order of definition."""
    return tuple(_circuits.values())
