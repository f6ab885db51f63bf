"""From a profile to a compiled module with one key set, checked against the profile.

Takes a second or two. Institution and operator each compile the published profile themselves; nobody loads a compiled
archive from anybody else, because loading one runs its code.
"""

import hashlib
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.concrete import cfhe, prepare_thread
from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, Profile
from atomic_margin.circuits.programs import breach_of, surplus
from atomic_margin.circuits.signals import kept_signal_handlers

IntArray = npt.NDArray[np.int64]
Case = tuple[IntArray, IntArray, IntArray]


def compile_profile(profile: Profile) -> Any:
    """Compile `profile` and check the result against what is pinned for it.

    Returns:
        concrete's `FheModule`.

    Raises:
        ProfileError: the compiled parameters are not the pinned ones, or miss the profile's failure probability.
    """
    module = compile_module(profile)
    derived = hashlib.sha256(module.server.client_specs.serialize()).hexdigest()
    if derived != layout_of(profile).client_specs_sha256:
        raise ProfileError(
            f"profile {profile.name!r}: this machine's compiler derives parameters {derived[:16]}…, pinned are "
            f"{layout_of(profile).client_specs_sha256[:16]}…; install the versions of requirements.lock"
        )
    return module


@cache
def compile_module(profile: Profile, *, simulation: bool = False) -> Any:
    """Compile every function of `profile` under one key set, without the check against the pinned parameters.

    A profile is compiled once in a process and stays: compiled code is never unloaded while its threads may still run.

    Args:
        profile: what to compile.
        simulation: compile for simulated execution too (tests; no keys, exact integers, simulated noise).

    Returns:
        concrete's `FheModule`.

    Raises:
        ProfileError: the compiled parameters miss the profile's failure probability.
    """
    prepare_thread()
    clear = {"z": "encrypted", "A": "clear", "c": "clear"}
    breach, known_answer = breach_of(profile.rows, profile.bits), breach_of(KNOWN_ANSWER_ROWS, profile.bits)
    known_answer.__name__ = "known_answer"

    definitions = {function.__name__: cfhe.function(clear)(function) for function in (surplus, breach, known_answer)}
    module_class = type("Margin", (), {**definitions, "composition": cfhe.Wired([])})
    configuration = cfhe.Configuration(
        p_error=2.0**profile.log2_p_error,
        security_level=type(cfhe.Configuration().security_level)(profile.security_bits),
        compress_evaluation_keys=True,
        fhe_simulation=simulation,
        show_progress=False,
        dump_artifacts_on_unexpected_failures=False,
    )
    cases, two_rows = extreme_inputs(profile, profile.rows), extreme_inputs(profile, KNOWN_ANSWER_ROWS)
    module = cfhe.module()(module_class).compile(
        {"surplus": cases, "breach": cases, "known_answer": two_rows}, configuration
    )
    reached = module.statistics["p_error"]
    if reached > 2.0**profile.log2_p_error:
        raise ProfileError(
            f"profile {profile.name!r}: the compiler reached p_error {reached}, not 2^{profile.log2_p_error}"
        )
    return module


def simulate(module: Any, function: str, z: IntArray, A: IntArray, c: IntArray) -> IntArray:
    """Run one function of a module compiled for simulation on plain integers, flat; noise is simulated, keys are not.

    Args:
        module: of `compile_module` with ``simulation=True``.
        function: its name.
        z: entries, shape (N,).
        A: weights, shape (R, N).
        c: collateral, shape (R,).
    """
    with kept_signal_handlers():
        output: IntArray = np.ravel(getattr(module, function).simulate(z, A, c)).astype(np.int64)
    return output


def extreme_inputs(profile: Profile, rows: int) -> list[Case]:
    """Inputs that reach both ends of z, of A, of c and of A z + c: the compiler takes every width from them alone."""
    top, weight_top, digit = 1 << (profile.bits - 1), 1 << (profile.weight_bits - 1), (1 << profile.entry_bits) - 1
    zero_z = np.zeros(profile.entries, dtype=np.int64)
    full_z = np.full(profile.entries, digit, dtype=np.int64)
    one_z = zero_z.copy()
    one_z[0] = 1
    zero_A = np.zeros((rows, profile.entries), dtype=np.int64)
    high_A, low_A = zero_A.copy(), zero_A.copy()
    high_A[:, 0], low_A[:, 0] = weight_top - 1, -weight_top

    def c(value: int) -> IntArray:
        return np.full(rows, value, dtype=np.int64)

    return [
        (zero_z, zero_A, c(top - 1)),
        (zero_z, zero_A, c(-top)),
        (full_z, zero_A, c(top - 1)),
        (one_z, high_A, c(top - weight_top)),
        (one_z, low_A, c(weight_top - top)),
    ]
