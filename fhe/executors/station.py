"""What runs on a machine of a cluster: a Dask worker that keeps key files and has one evaluation process of its own.

`atomic-margin worker` starts it, and `cluster` sends it tasks. It trusts the operator, and no byte of an institution:
those go on to the process that `fhe.evaluator` starts here as on the operator's own machine. One task runs at a time.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.errors import ExecutorUnavailable, FheError, MalformedKeys
from atomic_margin.fhe.evaluator import DEFAULT_MEMORY_BYTES, Evaluator
from atomic_margin.fhe.executors.port import IntArray
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

CONFIG = "atomic-margin"
"""Section of the Dask configuration that `atomic-margin worker` writes for the process."""
FILES_BYTES = 8 << 30
"""Key files take so much of the disk at most; the one used longest ago makes way."""


class KeysMissing(FheError):
    """A worker has no file of the keys that a job names; send them, and the job again.

    Attributes:
        worker: its address.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker


@dataclass(frozen=True)
class KeyName:
    """Keys as they are named across machines: by their hash, with the known-answer ciphertext that came with them."""

    sha256: str
    known_answer_input: bytes


@dataclass(frozen=True)
class Done:
    """What a job gave, who did it, and which keys are in memory there since."""

    worker: str
    result: Any
    holdings: Holdings


class Station:
    """The key files and the evaluation process of one Dask worker."""

    def __init__(self, memory_bytes: int, threads: int | None, files_bytes: int = FILES_BYTES) -> None:
        """Prepare a folder; the process starts with the first job."""
        self._folder = Path(tempfile.mkdtemp(prefix=f"atomic-margin-keys-{os.getpid()}-"))
        self._memory_bytes, self._threads, self._files_bytes = memory_bytes, threads, files_bytes
        self._evaluator: Evaluator | None = None

    def keep(self, sha256: str, data: bytes) -> None:
        """Keep evaluation keys as a file, whole or not at all.

        Raises:
            MalformedKeys: the bytes have another hash.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise MalformedKeys(f"the keys that arrived are not {sha256}")
        files = sorted(self._folder.glob("*.keys"), key=lambda path: path.stat().st_mtime)
        room = self._files_bytes - len(data) - sum(path.stat().st_size for path in files)
        while room < 0 and files:
            oldest = files.pop(0)
            room += oldest.stat().st_size
            oldest.unlink()
        new = self._folder / "new"
        new.write_bytes(data)
        new.replace(self._path(sha256))

    def evaluator(self, profile: Profile) -> Evaluator:
        """Return the process for a profile; one of another profile ends."""
        if self._evaluator is None or self._evaluator.profile != profile:
            self.close_evaluator()
            self._evaluator = Evaluator(profile, memory_bytes=self._memory_bytes, threads=self._threads)
        return self._evaluator

    def key_file(self, name: KeyName) -> KeyFile:
        """Return where keys are here.

        Raises:
            KeysMissing: nowhere.
        """
        path = self._path(name.sha256)
        if not path.exists():
            raise KeysMissing(_address())
        path.touch()
        return KeyFile(path, name.sha256, name.known_answer_input)

    def close_evaluator(self) -> None:
        """End the process."""
        if self._evaluator is not None:
            self._evaluator.close(0)
            self._evaluator = None

    def close(self) -> None:
        """End the process and remove the files."""
        self.close_evaluator()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.keys"


_station: Station | None = None


def dask_setup(_: Any) -> None:
    """Prepare the worker; Dask calls it when it loads this module."""
    global _station
    settings = dask.config.get(CONFIG, {})
    _station = Station(settings.get("memory-bytes", DEFAULT_MEMORY_BYTES), settings.get("threads"))


def dask_teardown(_: Any) -> None:
    """Dask calls it when the worker ends in order."""
    global _station
    if _station is not None:
        _station.close()
        _station = None


def keep_keys(sha256: str, data: bytes) -> None:
    """See `Station.keep`; a task."""
    _here().keep(sha256, data)


def evaluate(
    profile: Profile,
    keys: KeyName,
    ciphertext: bytes,
    matrices: tuple[IntArray, IntArray],
    functions: tuple[str, ...],
    chosen: dict[str, int] | None,
) -> Done:
    """Evaluate; a task. See `atomic_margin.fhe.worker.evaluate`.

    Raises:
        KeysMissing: the keys are not on this worker.
    """
    file, evaluator = _here().key_file(keys), _here().evaluator(profile)
    evaluation: Evaluation = evaluator.evaluate(file, ciphertext, *matrices, functions, chosen)
    return Done(_address(), evaluation, evaluator.holdings())


def warm_up(profile: Profile, keys: KeyName, functions: tuple[str, ...]) -> Done:
    """Expand keys; a task. See `atomic_margin.fhe.worker.warm_up`.

    Raises:
        KeysMissing: the keys are not on this worker.
    """
    file, evaluator = _here().key_file(keys), _here().evaluator(profile)
    plan = evaluator.warm_up(file, functions)
    return Done(_address(), plan, evaluator.holdings())


def _here() -> Station:
    if _station is None:
        raise ExecutorUnavailable(f"{_address()} is no worker of `atomic-margin worker`; end it")
    return _station


def _address() -> str:
    from distributed import get_worker

    return str(get_worker().address)
