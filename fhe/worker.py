"""What runs inside the evaluation worker process: parsing of untrusted bytes, and evaluation.

Only `atomic_margin.fhe.evaluator` starts it. concrete-python may abort a whole process on malformed bytes, so nothing
that an institution sent is parsed anywhere else. The process has an address-space limit and holds a few warm key
objects.
"""

import hashlib
import os
import resource
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.compiling import compile_profile
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, Profile
from atomic_margin.circuits.signals import kept_signal_handlers
from atomic_margin.fhe.errors import EvaluationFailed, MalformedKeys
from atomic_margin.fhe.known_answer import fingerprint, known_matrix
from atomic_margin.fhe.messages import bytes_from_message, message_from_bytes

IntArray = npt.NDArray[np.int64]

PARENT_SECONDS = 1.0
"""Time between two looks at whether the parent process is still there."""

# Expanded keys of the standard profile take about 1 GB each.
WARM_KEYS = 4


@dataclass(frozen=True)
class KeyFile:
    """Where evaluation keys lie, their hash, and the known-answer ciphertext that came with them."""

    path: Path
    sha256: str
    known_answer_input: bytes


@dataclass(frozen=True)
class Evaluation:
    """Outputs of one evaluation as raw words, by function; the plan they were made under; seconds by stage."""

    outputs: dict[str, bytes]
    fingerprint: str
    seconds: dict[str, float]


@dataclass
class _Worker:
    profile: Profile
    module: Any
    warm: "OrderedDict[str, tuple[Any, str]]"


_worker: _Worker | None = None


def start(profile: Profile, memory_bytes: int) -> None:
    """Initialise the process: set its limits, compile the profile."""
    global _worker
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), name="parent", daemon=True).start()
    _worker = _Worker(profile, compile_profile(profile), OrderedDict())


def _end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone, however it went: a killed server leaves no worker."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


def ready() -> bool:
    """Return whether the process has compiled its profile; submitting it waits for the start."""
    return _worker is not None


def evaluate(keys: KeyFile, ciphertext: bytes, A: IntArray, c: IntArray, functions: tuple[str, ...]) -> Evaluation:
    """Evaluate `functions` of the profile on one ciphertext.

    Args:
        keys: the institution's evaluation keys.
        ciphertext: raw words of z.
        A: clear weights, shape (R, N).
        c: clear collateral, shape (R,).
        functions: names, among the profile's.

    Raises:
        MalformedKeys: the key file is not what it was, or cannot be parsed.
        MalformedCiphertext: the words are no ciphertext of z.
        ClearInputError: A or c are outside the profile.
        EvaluationFailed: the library refused.
    """
    worker, seconds = _running(), {}
    rows = KNOWN_ANSWER_ROWS if functions == ("known_answer",) else None
    A, c = checked_clear_inputs(worker.profile, A, c, rows)
    started = perf_counter()
    key_object, plan = _warm(worker, keys)
    seconds["load_keys"] = perf_counter() - started
    outputs = {}
    for function in functions:
        started = perf_counter()
        outputs[function] = _run(worker, key_object, ciphertext, A, c, function)
        seconds[function] = perf_counter() - started
    return Evaluation(outputs, plan, seconds)


def check_keys(keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
    """Load keys and return the known-answer outputs for the given (seed, flag) pairs.

    Raises:
        MalformedKeys: the bytes are no evaluation keys of the profile.
        MalformedCiphertext: the known-answer input is no ciphertext of the profile.
        EvaluationFailed: the library refused to evaluate with them.
    """
    worker = _running()
    key_object, _ = _warm(worker, keys)
    outputs = []
    for seed, flag in challenges:
        A, c = known_matrix(worker.profile, seed, flag)
        outputs.append(_run(worker, key_object, keys.known_answer_input, A, c, "known_answer"))
    return tuple(outputs)


def _running() -> _Worker:
    if _worker is None:
        raise EvaluationFailed("the worker was not started by its initialiser")
    return _worker


def _warm(worker: _Worker, keys: KeyFile) -> tuple[Any, str]:
    """Return the parsed keys and the fingerprint under them, from the warm cache or the file."""
    if keys.sha256 in worker.warm:
        worker.warm.move_to_end(keys.sha256)
        return worker.warm[keys.sha256]
    expected = layout_of(worker.profile).evaluation_key_bytes
    size = keys.path.stat().st_size
    if size != expected:
        raise MalformedKeys(
            f"evaluation keys of profile {worker.profile.name!r} have {expected} bytes, these have {size}: "
            "make keys for this profile"
        )
    data = keys.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != keys.sha256:
        raise MalformedKeys("the stored evaluation keys no longer match their hash; enrol again")
    try:
        parsed = cfhe.EvaluationKeys.deserialize(data)
    except RuntimeError as error:
        raise MalformedKeys("the bytes cannot be parsed as evaluation keys") from error
    A, c = known_matrix(worker.profile, b"fft-plan", 0)
    # Also expands the keys, which otherwise the first real run would pay for.
    plan = fingerprint(_run(worker, parsed, keys.known_answer_input, A, c, "known_answer"))
    while len(worker.warm) >= WARM_KEYS:
        worker.warm.popitem(last=False)
    worker.warm[keys.sha256] = parsed, plan
    return parsed, plan


def _run(worker: _Worker, keys: Any, ciphertext: bytes, A: IntArray, c: IntArray, function: str) -> bytes:
    messages = layout_of(worker.profile).messages
    message = message_from_bytes(ciphertext, messages["input"])
    try:
        value = cfhe.Value.deserialize(message)
        with kept_signal_handlers():
            output = worker.module.server.run(value, A, c, evaluation_keys=keys, function_name=function)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise EvaluationFailed(f"{function}: the library refused ({str(error).splitlines()[0]})") from error
    return bytes_from_message(output.serialize(), messages[function])
