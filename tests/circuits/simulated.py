"""Simulated execution with the library's objects made once for a function: ten times faster than `simulate`."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.circuit import Circuit, circuit_by_name, defined
from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.compiling import compile_module
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.signals import kept_signal_handlers

IntArray = npt.NDArray[np.int64]


def with_circuit(profile: Profile, circuit: Circuit) -> Profile:
    """A profile of the same numbers with every circuit that is defined, but with `circuit` alone if it stands apart."""
    if _stands_apart(circuit):
        return replace(profile, functions=(circuit.name,))
    return replace(profile, functions=tuple(one.name for one in defined() if not _stands_apart(one)))


def _stands_apart(circuit: Circuit) -> bool:
    """Whether its parameters differ, or it takes three times as long to compile as all others together."""
    return circuit.default_parameters or circuit.name == "shortfall"


def one_function(function: str, *, rows: int, bits: int = 8) -> Profile:
    """A tiny profile with one function, which compiles in half a second."""
    return Profile(f"{function}-{rows}", entries=2, rows=rows, bits=bits, weight_bits=4, functions=(function,))


@dataclass(frozen=True)
class Simulated:
    """One function of a module compiled for simulation: call it with (z, A, c) and chosen inputs."""

    profile: Profile
    circuit: Circuit
    client: Any
    server: Any
    program: Any  # keeps the code that `server` runs

    def __call__(self, z: IntArray, A: IntArray, c: IntArray, chosen: dict[str, int] | None = None) -> IntArray:
        """Return the output, flat, after checking that the inputs are inside the profile."""
        from concrete.compiler import Value

        assert z.shape == (self.profile.entries,)
        assert ((z >= 0) & (z < 1 << self.profile.entry_bits)).all()
        A, c = checked_clear_inputs(self.profile, A, c, self.circuit.rows_of(self.profile))
        arguments = (z, A, c, *self.circuit.clear_inputs(self.profile, chosen))
        with kept_signal_handlers():
            prepared = [self.client.simulate_prepare_input(Value(value), i) for i, value in enumerate(arguments)]
            (output,) = self.server.simulate(prepared)
            values = self.client.simulate_process_output(output, 0).to_py_val()
        decoded: IntArray = np.ravel(values).astype(np.int64)
        return decoded


@cache
def simulated(profile: Profile, function: str) -> Simulated:
    """Compile `profile` for simulation (once in a process) and return one of its functions."""
    module = compile_module(profile, simulation=True)
    # Imported here, after `circuits.concrete` has imported the library in the guarded way.
    from concrete.compiler import ClientProgram, ServerProgram

    runtime = getattr(module, function).simulation_runtime.val
    client = ClientProgram.create_simulated(runtime.client.specs.program_info).get_client_circuit(function)
    program = ServerProgram(runtime.server._library, True)
    return Simulated(profile, circuit_by_name(function), client, program.get_server_circuit(function), program)
