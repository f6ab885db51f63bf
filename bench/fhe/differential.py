"""A circuit against its integers, in simulation or in real FHE."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.bench.fhe.keys import keys_for
from atomic_margin.bench.fhe.sources import module_profile
from atomic_margin.circuits.cases import Trial, trials_of
from atomic_margin.circuits.circuit import Circuit
from atomic_margin.circuits.compiling import compile_module, simulate
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.signals import kept_signal_handlers

IntArray = npt.NDArray[np.int64]

SEED = 20261122


@dataclass(frozen=True)
class Differential:
    """Outcome of a differential test: the number of trials, and those that came out wrong with what came out."""

    circuit: str
    profile: str
    trials: int
    failures: tuple[tuple[Trial, IntArray], ...]

    @property
    def wrong(self) -> int:
        """Number of wrong results."""
        return len(self.failures)


def differential_test(
    circuit: Circuit,
    profile: Profile,
    trials: int = 100,
    *,
    real: bool = False,
    seed: int = SEED,
    cached_keys: bool = False,
) -> Differential:
    """Hold `circuit` against its `integers` on random cases and cases at, below and above zero.

    It is compiled within the profile's own module if it is one of its functions, else alone; never from the cache of
    compiled modules, which cannot know that a program was edited.

    Args:
        circuit: a defined circuit.
        profile: whose sizes the cases have.
        trials: number of cases.
        real: with keys and ciphertexts instead of in simulation.
        seed: of the cases.
        cached_keys: with `real`, keep the throw-away keys on disk for the next test.
    """
    failures = []
    evaluate = _evaluation(circuit, profile, real, cached_keys)
    for trial in trials_of(circuit, profile, trials, seed):
        output = evaluate(trial)
        if not trial.agrees(output):
            failures.append((trial, output))
    return Differential(circuit.name, profile.name, trials, tuple(failures))


def _evaluation(circuit: Circuit, profile: Profile, real: bool, cached_keys: bool) -> Callable[[Trial], IntArray]:
    compiled_for = module_profile(circuit, profile)
    module = compile_module(compiled_for, simulation=not real)
    if not real:
        return lambda trial: simulate(module, circuit.name, trial.z, *trial.clear)
    client, _ = keys_for(compiled_for, bytes(module.server.client_specs.serialize()), cached=cached_keys)
    evaluation_keys = client.evaluation_keys
    return lambda trial: decrypt(
        client, circuit, run(module.server, evaluation_keys, circuit, encrypt(client, circuit, trial), trial)
    )


def encrypt(client: Any, circuit: Circuit, trial: Trial) -> Any:
    """Encrypt the entries of a trial for `circuit`; concrete's `Value`."""
    return client.encrypt(trial.z, *(None for _ in trial.clear), function_name=circuit.name)[0]


def run(server: Any, evaluation_keys: Any, circuit: Circuit, value: Any, trial: Trial) -> Any:
    """Evaluate `circuit` on encrypted entries and the trial's clear inputs; concrete's `Value`."""
    with kept_signal_handlers():
        return server.run(value, *trial.clear, evaluation_keys=evaluation_keys, function_name=circuit.name)


def decrypt(client: Any, circuit: Circuit, output: Any) -> IntArray:
    """Decrypt an output, flat."""
    return np.ravel(np.asarray(client.decrypt(output, function_name=circuit.name))).astype(np.int64)
