"""What runs inside the evaluation worker process: parsing of untrusted bytes, and evaluation.

Only `atomic_margin.fhe.evaluator` starts it. concrete-python may abort a whole process on malformed bytes, so nothing
that an institution sent is parsed anywhere else. The process has an address-space limit and holds expanded keys up to a
part of it; what was used longest ago makes way.
"""

import hashlib
import os
import resource
import shutil
import signal
import tempfile
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.circuit import circuit_by_name
from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.compiling import Compiled, compile_profile
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.signals import kept_signal_handlers
from atomic_margin.fhe.errors import EvaluationFailed, MalformedKeys
from atomic_margin.fhe.known_answer import fingerprint, fingerprint_function, known_matrix
from atomic_margin.fhe.messages import bytes_from_message, message_from_bytes

IntArray = npt.NDArray[np.int64]

PARENT_SECONDS = 1.0
"""Time between two looks at whether the parent process is still there."""

KEYS_SHARE = 4
"""Expanded keys may take one part in so many of the process's address space. Those of the standard profile take about
1 GB a set."""


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


@dataclass(frozen=True)
class Holdings:
    """Which keys a worker has in memory.

    Attributes:
        keys: their hashes, the one used longest ago first.
        bytes_each: what one set takes, as far as is known: the most that one has taken yet.
        bytes_limit: what all of them may take.
    """

    keys: tuple[str, ...] = ()
    bytes_each: int = 0
    bytes_limit: int = 1

    @property
    def has_room(self) -> bool:
        """Whether one more set fits beside those that are there."""
        return not self.keys or (len(self.keys) + 1) * self.bytes_each <= self.bytes_limit


@dataclass
class _WarmKeys:
    """Parsed evaluation keys, and fingerprints of the FFT plans under them, by two-row function."""

    parsed: Any
    plans: dict[str, str]


@dataclass
class _Worker:
    profile: Profile
    module: Compiled
    warm: "OrderedDict[str, _WarmKeys]"
    keys_bytes: int
    bytes_each: int = 0

    def holdings(self) -> Holdings:
        return Holdings(tuple(self.warm), self.bytes_each, self.keys_bytes)


_worker: _Worker | None = None
_folder: Path | None = None


def keep_files_in(folder: Path) -> None:
    """Let the FHE library put its files into a folder of this process alone; to be called before `start`.

    The library unpacks compiled code for every process, opens it for every run, and removes nothing. Whoever started
    the process removes the folder; the process itself does, if that one is gone.
    """
    global _folder
    _folder = folder
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def end_with(parent: int) -> None:
    """End this process when its parent is gone, however that went; to be called first of all.

    Args:
        parent: the parent's process number, as the parent said it. Asked for here, it may be that of whoever inherited
            a process whose parent was killed meanwhile.
    """
    # A key for the whole foreground group is for the parent: it stops its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(parent,), name="parent", daemon=True).start()


def start(profile: Profile, memory_bytes: int) -> None:
    """Initialise the process: set its limits, compile the profile."""
    global _worker
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _worker = _Worker(profile, compile_profile(profile), OrderedDict(), memory_bytes // KEYS_SHARE)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)
    os._exit(1)


def ready() -> bool:
    """Return whether the process has compiled its profile; submitting it waits for the start."""
    return _worker is not None


def holdings() -> Holdings:
    """Return which keys this process has in memory."""
    return _running().holdings()


def evaluate(
    keys: KeyFile,
    ciphertext: bytes,
    A: IntArray,
    c: IntArray,
    functions: tuple[str, ...],
    chosen: dict[str, int] | None = None,
) -> Evaluation:
    """Evaluate `functions` of the profile on one ciphertext.

    Args:
        keys: the institution's evaluation keys.
        ciphertext: raw words of z.
        A: clear weights, shape (R, N).
        c: clear collateral, shape (R,).
        functions: names, among the profile's, over the same number of rows.
        chosen: clear inputs that a function lets its caller choose, by name.

    Raises:
        MalformedKeys: the key file is not what it was, or cannot be parsed.
        MalformedCiphertext: the words are no ciphertext of z.
        ClearInputError: A or c are outside the profile.
        ProfileError: the profile has not got one of the functions.
        EvaluationFailed: the library refused.
    """
    worker, seconds = _running(), {}
    for function in functions:
        worker.profile.require(function)
    (rows,) = {circuit_by_name(function).rows_of(worker.profile) for function in functions}
    A, c = checked_clear_inputs(worker.profile, A, c, rows)
    started = perf_counter()
    warm, plan = _expanded(worker, keys, fingerprint_function(functions))
    seconds["load_keys"] = perf_counter() - started
    outputs = {}
    for function in functions:
        started = perf_counter()
        outputs[function] = _run(worker, warm.parsed, ciphertext, A, c, function, chosen)
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
    warm, _ = _expanded(worker, keys, "known_answer")
    outputs = []
    for seed, flag in challenges:
        A, c = known_matrix(worker.profile, seed, flag)
        outputs.append(_run(worker, warm.parsed, keys.known_answer_input, A, c, "known_answer"))
    return tuple(outputs)


def _running() -> _Worker:
    if _worker is None:
        raise EvaluationFailed("the worker was not started by its initialiser")
    return _worker


def warm_up(keys: KeyFile, functions: tuple[str, ...]) -> str:
    """Load keys and expand them by a two-row run, so that the first real run does not pay for it.

    Returns:
        The fingerprint of the FFT plans that `functions` use in this process.

    Raises:
        MalformedKeys: the key file is not what it was, or cannot be parsed.
    """
    worker = _running()
    return _expanded(worker, keys, fingerprint_function(functions))[1]


def _expanded(worker: _Worker, keys: KeyFile, function: str) -> tuple[_WarmKeys, str]:
    """Return keys that are in memory, and the fingerprint by `function`; note what they take, if they are new here."""
    new, before = keys.sha256 not in worker.warm, _resident_bytes()
    if new:
        while not worker.holdings().has_room:
            worker.warm.popitem(last=False)
    warm = _warm(worker, keys)
    plan = _plan(worker, keys, warm, function)
    if new:
        # Memory that was given back before is used again, so that a set may seem to take less than it does.
        size = keys.path.stat().st_size
        worker.bytes_each = max(worker.bytes_each, size, _resident_bytes() - before)
    return warm, plan


def _warm(worker: _Worker, keys: KeyFile) -> _WarmKeys:
    """Return the parsed keys from memory or the file."""
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
    warm = _WarmKeys(parsed, {})
    _plan(worker, keys, warm, "known_answer")
    worker.warm[keys.sha256] = warm
    return warm


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _plan(worker: _Worker, keys: KeyFile, warm: _WarmKeys, function: str) -> str:
    """Return the fingerprint by a two-row function; its run also expands the keys that it uses."""
    if function not in warm.plans:
        A, c = known_matrix(worker.profile, b"fft-plan", 0)
        warm.plans[function] = fingerprint(_run(worker, warm.parsed, keys.known_answer_input, A, c, function))
    return warm.plans[function]


def _run(
    worker: _Worker,
    keys: Any,
    ciphertext: bytes,
    A: IntArray,
    c: IntArray,
    function: str,
    chosen: dict[str, int] | None = None,
) -> bytes:
    messages = layout_of(worker.profile).messages
    message = message_from_bytes(ciphertext, messages["input"])
    try:
        value = cfhe.Value.deserialize(message)
        clear = circuit_by_name(function).clear_inputs(worker.profile, chosen)
        with kept_signal_handlers():
            output = worker.module.server.run(value, A, c, *clear, evaluation_keys=keys, function_name=function)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise EvaluationFailed(f"{function}: the library refused ({str(error).splitlines()[0]})") from error
    return bytes_from_message(output.serialize(), messages[function])
