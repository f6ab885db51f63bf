"""From a profile to a compiled module with one key set, checked against the profile.

Takes some seconds the first time, hundredths from this machine's cache. Institution and operator each compile the
published profile themselves; nobody loads a compiled archive from anybody else, because loading one runs its code.
"""

import atexit
import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits import cache as disk
from atomic_margin.circuits import programs as _programs  # noqa: F401  # defines the circuits that profiles name
from atomic_margin.circuits.circuit import Circuit, circuit_by_name
from atomic_margin.circuits.concrete import ParameterRanges, cfhe, prepare_thread
from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.security import check_security
from atomic_margin.circuits.signals import kept_signal_handlers
from atomic_margin.circuits.statistics import FunctionStatistics, Statistics, statistics_of

IntArray = npt.NDArray[np.int64]

_log = logging.getLogger(__name__)

# The library's cost model takes polynomials of 512 coefficients for the cheapest in extracting bits; measured, 1,024
# are faster. Three-bit lookups at 2^-128 need 2,048 (docs/benchmarks.md).
FAST = ParameterRanges(log2_polynomial_sizes=(10, 11), glwe_dimensions=(1, 2))
# Rows beyond 20 bits would get seven decomposition levels and evaluation keys of 130 MB. With five, which polynomials
# of 512 allow, keys take 89 MB, and a run 5 % longer.
SMALL_KEYS = ParameterRanges(
    log2_polynomial_sizes=(9, 10, 11), glwe_dimensions=(1, 2, 4), decomposition_levels=(1, 2, 3, 4, 5)
)
FAST_BITS = 20


@dataclass(frozen=True)
class Compiled:
    """A compiled module that can be evaluated.

    Attributes:
        profile: what was compiled.
        server: concrete's `Server`: evaluates, and holds the client specifications.
        client_specs: from which an institution makes its keys.
        statistics: of the compiled parameters.
        seconds: spent on compiling, when it was compiled; what the cache saves.
        from_cache: whether it was loaded instead.
    """

    profile: Profile
    server: Any
    client_specs: bytes
    statistics: Statistics
    seconds: float
    from_cache: bool


def compile_profile(profile: Profile) -> Compiled:
    """Compile `profile`, or load it from this machine's cache, and check the result against what is pinned for it.

    Raises:
        ProfileError: a function is for research only; the compiled parameters are not the pinned ones; or they miss
            the profile's security level or failure probability.
    """
    for name in profile.functions:
        if circuit_by_name(name).research_only:
            raise ProfileError(f"profile {profile.name!r}: {name} is for research only")
    compiled = compiled_module(profile)
    derived = hashlib.sha256(compiled.client_specs).hexdigest()
    if derived != layout_of(profile).client_specs_sha256:
        raise ProfileError(
            f"profile {profile.name!r}: this machine's compiler derives parameters {derived[:16]}…, pinned are "
            f"{layout_of(profile).client_specs_sha256[:16]}…; install the versions of requirements.lock"
        )
    return compiled


@cache
def compiled_module(profile: Profile) -> Compiled:
    """Compile `profile` or load it from this machine's cache, without the check against pinned parameters.

    A profile is loaded once in a process and stays: compiled code is never unloaded while its threads may still run.

    Raises:
        ProfileError: the compiled parameters miss the profile's security level or failure probability.
        CacheUnsafe: others may write to the cache.
    """
    prepare_thread()
    place = disk.entry(profile.hash())
    loaded = None if place is None else _load(place)
    if loaded is not None:
        server, statistics, seconds = loaded
        from_cache = True
        atexit.register(_remove, server, os.getpid())
    else:
        started = perf_counter()
        module = compile_module(profile)
        server, statistics, from_cache = module.server, statistics_of(module, profile), False
        seconds = perf_counter() - started
        if place is not None:
            with tempfile.TemporaryDirectory() as temporary:
                archive = Path(temporary) / "server.zip"
                server.save(archive)
                described = json.dumps({"statistics": asdict(statistics), "seconds": seconds}).encode()
                disk.store(place, {"server.zip": archive, "module.json": described})
    client_specs = bytes(server.client_specs.serialize())
    _check(profile, statistics, client_specs)
    return Compiled(profile, server, client_specs, statistics, seconds, from_cache)


@cache
def compile_module(profile: Profile, *, simulation: bool = False) -> Any:
    """Compile every function of `profile` under one key set, past the cache.

    Args:
        profile: what to compile.
        simulation: compile for simulated execution (tests; no keys, plain integers, simulated noise).

    Returns:
        concrete's `FheModule`.
    """
    prepare_thread()
    circuits = [circuit_by_name(name) for name in profile.functions]
    definitions = {circuit.name: _function(circuit, profile) for circuit in circuits}
    module_class = type("Margin", (), {**definitions, "composition": cfhe.Wired([])})
    configuration = cfhe.Configuration(
        p_error=2.0**profile.log2_p_error,
        security_level=type(cfhe.Configuration().security_level)(profile.security_bits),
        compress_evaluation_keys=True,
        fhe_simulation=simulation,
        # Compiled when it is first asked for, where it is not the point.
        fhe_execution=not simulation,
        show_progress=False,
        dump_artifacts_on_unexpected_failures=False,
        range_restriction=None
        if any(circuit.default_parameters for circuit in circuits)
        else (FAST if profile.bits <= FAST_BITS else SMALL_KEYS).restriction(),
    )
    inputs = {circuit.name: circuit.inputs(profile) for circuit in circuits}
    module = cfhe.module()(module_class).compile(inputs, configuration)
    server = (module.simulation_runtime.val if simulation else module.execution_runtime.val).server
    atexit.register(_remove, server, os.getpid())
    return module


def simulate(module: Any, function: str, z: IntArray, *clear: IntArray) -> IntArray:
    """Run one function of a module compiled for simulation on plain integers, flat; noise is simulated, keys are not.

    Args:
        module: of `compile_module` with ``simulation=True``.
        function: its name.
        z: entries, shape (N,).
        clear: the function's clear inputs: A, shape (R, N), c, shape (R,), and the circuit's own after them.
    """
    with kept_signal_handlers():
        output: IntArray = np.ravel(getattr(module, function).simulate(z, *clear)).astype(np.int64)
    return output


def _load(place: Path) -> tuple[Any, Statistics, float] | None:
    """Return server, statistics and seconds from a cache entry, or None when there is none, or it is damaged."""
    if not place.is_dir():
        return None
    try:
        described = json.loads((place / "module.json").read_bytes())
        with kept_signal_handlers():
            server = cfhe.Server.load(place / "server.zip")
        return server, Statistics.from_json(described["statistics"]), described["seconds"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        _log.warning("the compiled module in %s is damaged and will be compiled anew: %s", place, error)
        disk.drop(place)
        return None


def _remove(server: Any, process: int) -> None:
    """Remove the folder in which the library has a server's code, which it opens for every run and never removes."""
    # A process that was forked from this one uses the same folder.
    if os.getpid() == process:
        shutil.rmtree(server._library.get_output_dir_path(), ignore_errors=True)


def _function(circuit: Circuit, profile: Profile) -> Any:
    traced = circuit.program(profile)
    traced.__name__ = circuit.name
    return cfhe.function({"z": "encrypted", **dict.fromkeys(circuit.names(profile), "clear")})(traced)


def _check(profile: Profile, statistics: Statistics, client_specs: bytes) -> None:
    if statistics.p_error > 2.0**profile.log2_p_error:
        raise ProfileError(
            f"profile {profile.name!r}: the compiler reached p_error {statistics.p_error}, not 2^{profile.log2_p_error}"
        )
    if check_security(client_specs) < profile.security_bits:
        raise ProfileError(f"profile {profile.name!r}: the parameters miss {profile.security_bits} bits of security")


__all__ = [
    "Compiled",
    "FunctionStatistics",
    "compile_module",
    "compile_profile",
    "compiled_module",
    "simulate",
]
