"""First process of a module: compile it past the cache, make keys, encrypt. It leaves files, and measures itself."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from atomic_margin.bench.fhe.differential import encrypt
from atomic_margin.bench.fhe.jobs import (
    CLIENT_KEYS,
    COMPILING,
    EVALUATION_KEYS,
    MAKING_KEYS,
    SERVER,
    Job,
    ciphertext_file,
)
from atomic_margin.bench.fhe.keys import keys_for, write_private
from atomic_margin.circuits.cases import trials_of
from atomic_margin.circuits.circuit import circuit_by_name
from atomic_margin.circuits.compiling import compile_module
from atomic_margin.circuits.lookups import require_practical
from atomic_margin.circuits.security import check_security
from atomic_margin.circuits.statistics import statistics_of


def prepare(job: Job, stage: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of the module, and of each circuit under `bootstraps` and `failure`."""
    stage("looking at the widths of lookups")
    for name in job.profile.functions:
        require_practical(circuit_by_name(name), job.profile)
    stage(COMPILING)
    started = perf_counter()
    module = compile_module(job.profile)
    compile_s = perf_counter() - started
    statistics = statistics_of(module, job.profile)
    module.server.save(job.directory / SERVER)
    client_specs = bytes(module.server.client_specs.serialize())

    stage(MAKING_KEYS)
    client, keygen_s = keys_for(job.profile, client_specs, cached=job.cached_keys)
    evaluation_keys = bytes(client.evaluation_keys.serialize())
    write_private(job.directory / EVALUATION_KEYS, evaluation_keys)
    write_private(job.directory / CLIENT_KEYS, client.keys.serialize())

    stage("encrypting")
    encrypt_s = {}
    for name in job.circuits:
        circuit = circuit_by_name(name)
        for number, trial in enumerate(trials_of(circuit, job.profile, job.prepared, job.seed)):
            started = perf_counter()
            value = encrypt(client, circuit, trial)
            encrypt_s[name] = perf_counter() - started
            ciphertext_file(job.directory, name, number).write_bytes(value.serialize())

    bootstraps = {name: statistics.functions[name].bootstraps for name in job.circuits}
    return {
        "compile_s": compile_s,
        "keygen_s": keygen_s,
        "evaluation_key_bytes": len(evaluation_keys),
        "complexity": statistics.complexity,
        "p_error": statistics.p_error,
        "security_bits": check_security(client_specs),
        "bootstraps": bootstraps,
        "failure": {name: min(1.0, count * statistics.p_error) for name, count in bootstraps.items()},
        "encrypt_s": encrypt_s,
    }
