"""Where circuits come from: the package, or one file of a researcher that calls `define`."""

import importlib.util
import inspect
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from atomic_margin.bench.fhe.errors import NoCircuit
from atomic_margin.circuits import baselines as _baselines  # noqa: F401  # defines the circuits of comparisons
from atomic_margin.circuits import programs as _programs  # noqa: F401  # defines the circuits of profiles
from atomic_margin.circuits.circuit import Circuit, defined
from atomic_margin.circuits.profile import Profile

_PACKAGE = __name__.split(".")[0] + "."


def load_circuits(path: Path) -> tuple[Circuit, ...]:
    """Run a Python file, once in a process, and return the circuits it defines.

    Raises:
        OSError: the file cannot be read.
        NoCircuit: it is no Python file, or calls `define` for nothing.
        ProfileError: it defines a name that is taken.
    """
    return _load(path.resolve())


@cache
def _load(path: Path) -> tuple[Circuit, ...]:
    spec = importlib.util.spec_from_file_location(f"circuits_of_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise NoCircuit(f"{path} is no Python file; its name must end in .py")
    before = len(defined())
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = defined()[before:]
    if not found:
        raise NoCircuit(f"{path} defines no circuit; it must call atomic_margin.circuits.define")
    return found


def file_of(circuit: Circuit) -> Path | None:
    """Return the file that another process must load to know `circuit`, or None when it comes with the package.

    Raises:
        NoCircuit: its program was not written in a file.
    """
    if circuit.program.__module__.startswith(_PACKAGE):
        return None
    path = Path(inspect.getsourcefile(circuit.program) or "")
    if not path.is_file():
        raise NoCircuit(
            f"{circuit.name} is measured in a process of its own, which needs its source; put it into a file"
        )
    return path.resolve()


def module_profile(circuit: Circuit, profile: Profile) -> Profile:
    """Return the profile of the module that `circuit` is measured in: `profile`'s own, or one for it alone."""
    if circuit.name in profile.functions:
        return profile
    return replace(profile, name=f"{profile.name} {circuit.name}", functions=(circuit.name,))
