"""FHE programs over the margin rows A z + c, the profiles that fix their parameters, and what is pinned about them.

It imports `documents` alone; `fhe`, `service` and `bench` import it. `profile`, `circuit`, `layout`, `reference`,
`cases`, `limbs` and `clear_inputs` need no FHE library; `programs`, `zoom` and `compiling` do. The names below are
imported when they are asked for, so that importing this package, or one of the former modules, never needs it.
docs/researcher.md adds a circuit with them, in one file.

>>> from atomic_margin.circuits import Circuit, profile_by_name
>>> profile_by_name("64x16x20").rows
16
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atomic_margin.circuits.any_row import any_of, counts, doubled_flags, group_sums
    from atomic_margin.circuits.cases import Trial, trials_of
    from atomic_margin.circuits.circuit import Circuit, circuit_by_name, define, defined
    from atomic_margin.circuits.compiling import compile_module, compiled_module, simulate
    from atomic_margin.circuits.concrete import cfhe
    from atomic_margin.circuits.inputs import constant, extreme_inputs, zero_entries, zero_weights, zoomed_inputs
    from atomic_margin.circuits.limbs import join, split
    from atomic_margin.circuits.profile import PROFILES, Profile, profile_by_name
    from atomic_margin.circuits.zoom import first_sign, freshened, multipliers, readings, signs

_HOMES = {
    "any_row": ("any_of", "counts", "doubled_flags", "group_sums"),
    "cases": ("Trial", "trials_of"),
    "circuit": ("Circuit", "circuit_by_name", "define", "defined"),
    "compiling": ("compile_module", "compiled_module", "simulate"),
    "concrete": ("cfhe",),
    "inputs": ("constant", "extreme_inputs", "zero_entries", "zero_weights", "zoomed_inputs"),
    "limbs": ("join", "split"),
    "profile": ("PROFILES", "Profile", "profile_by_name"),
    "zoom": ("first_sign", "freshened", "multipliers", "readings", "signs"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "PROFILES",
    "Circuit",
    "Profile",
    "Trial",
    "any_of",
    "cfhe",
    "circuit_by_name",
    "compile_module",
    "compiled_module",
    "constant",
    "counts",
    "define",
    "defined",
    "doubled_flags",
    "extreme_inputs",
    "first_sign",
    "freshened",
    "group_sums",
    "join",
    "multipliers",
    "profile_by_name",
    "readings",
    "signs",
    "simulate",
    "split",
    "trials_of",
    "zero_entries",
    "zero_weights",
    "zoomed_inputs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
