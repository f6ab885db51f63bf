"""Second process of a module, one for each circuit: load keys, evaluate cold and warm, compare with integers."""

import statistics
from collections.abc import Callable
from itertools import islice
from time import perf_counter
from typing import Any

from atomic_margin.bench.environment import peak_memory_bytes
from atomic_margin.bench.fhe.differential import decrypt, encrypt, run
from atomic_margin.bench.fhe.jobs import CLIENT_KEYS, EVALUATION_KEYS, SERVER, Job, ciphertext_file
from atomic_margin.circuits.cases import trials_of
from atomic_margin.circuits.circuit import circuit_by_name
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.signals import kept_signal_handlers
from atomic_margin.fhe.lwe import find_payload


def evaluate(job: Job, stage: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of the job's one circuit.

    No secret key is in the process until the last timed evaluation is over and the peak of memory is read off.
    """
    (name,) = job.circuits
    circuit = circuit_by_name(name)

    stage("loading")
    started = perf_counter()
    with kept_signal_handlers():
        server = cfhe.Server.load(job.directory / SERVER)
    load_s = perf_counter() - started
    started = perf_counter()
    keys = cfhe.EvaluationKeys.deserialize((job.directory / EVALUATION_KEYS).read_bytes())
    load_keys_s = perf_counter() - started

    trials = trials_of(circuit, job.profile, job.evaluations, job.seed)
    timed, seconds = [], []
    for number, trial in enumerate(islice(trials, job.prepared)):
        stage(f"warm run {number} of {job.runs}" if number else "cold run")
        message = ciphertext_file(job.directory, name, number).read_bytes()
        value = cfhe.Value.deserialize(message)
        started = perf_counter()
        output = run(server, keys, circuit, value, trial)
        seconds.append(perf_counter() - started)
        timed.append((trial, output))
    peak = peak_memory_bytes()
    cold_s, *warm = seconds

    client = cfhe.Client(server.client_specs)
    client.keys = type(client.keys).deserialize((job.directory / CLIENT_KEYS).read_bytes())
    wrong, decrypt_s = 0, []
    for trial, output in timed:
        started = perf_counter()
        values = decrypt(client, circuit, output)
        decrypt_s.append(perf_counter() - started)
        wrong += not trial.agrees(values)
    for number, trial in enumerate(trials, job.prepared):
        stage(f"trial {number + 1} of {job.evaluations}")
        output = run(server, keys, circuit, encrypt(client, circuit, trial), trial)
        wrong += not trial.agrees(decrypt(client, circuit, output))

    return {
        "load_s": load_s,
        "load_keys_s": load_keys_s,
        "cold_s": cold_s,
        "warm_s": statistics.median(warm),
        "warm_runs_s": warm,
        "decrypt_s": statistics.median(decrypt_s),
        "input_bytes": _ciphertext_bytes(message),
        "output_bytes": _ciphertext_bytes(bytes(timed[0][1].serialize())),
        "peak_memory_bytes": peak,
        "trials": job.evaluations,
        "wrong": wrong,
    }


def _ciphertext_bytes(message: bytes) -> int:
    payload = find_payload(message)
    return payload.stop - payload.start
