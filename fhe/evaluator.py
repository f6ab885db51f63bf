"""One worker process behind a `concurrent.futures.Executor`: starts it, hands it calls, ends it.

`fhe.executors` and the audit call it; no secret key can come near it. A worker that dies takes its call with it and is
replaced, so that bytes which abort the FHE library cost their sender an error and nobody else anything.
"""

import contextlib
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe import worker
from atomic_margin.fhe.errors import WorkerLost
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

IntArray = npt.NDArray[np.int64]
T = TypeVar("T")

DEFAULT_MEMORY_BYTES = 16 << 30
DEFAULT_SECONDS = 600.0
CLOSE_SECONDS = 10.0
"""Time that a worker has to end by itself when nothing more is wanted of it."""
_FOLDERS = "atomic-margin-worker-"


class Evaluator:
    """Evaluates encrypted portfolios in a worker process.

    Calls block; they may come from several threads and are served one after the other.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        seconds: float = DEFAULT_SECONDS,
        threads: int | None = None,
        make_executor: Callable[[], Executor] | None = None,
    ) -> None:
        """Prepare for `profile`; the process starts with the first call or with `start`.

        Args:
            profile: what to evaluate.
            memory_bytes: address-space limit of the process.
            seconds: longest time a call may take, the waiting for its turn included; then the process is killed.
            threads: threads that an evaluation may use; by default what the environment says, or every core.
            make_executor: for tests and other process layouts; by default one spawned process.
        """
        self.profile = profile
        self._seconds = seconds
        self._make_executor = make_executor or (lambda: _process(profile, memory_bytes, threads))
        self._executor: Executor | None = None
        self._lock = threading.Lock()
        self.replaced = 0
        """How many worker processes were given up so far: what one kept in memory is gone with it."""

    def start(self) -> None:
        """Start the worker and wait until it has compiled the profile."""
        self._call(worker.ready)

    def check_keys(self, keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
        """See `atomic_margin.fhe.worker.check_keys`."""
        return self._call(worker.check_keys, keys, challenges)

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: IntArray,
        c: IntArray,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        """See `atomic_margin.fhe.worker.evaluate`."""
        return self._call(worker.evaluate, keys, ciphertext, A, c, functions, chosen)

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        """See `atomic_margin.fhe.worker.warm_up`."""
        return self._call(worker.warm_up, keys, functions)

    def holdings(self) -> Holdings:
        """See `atomic_margin.fhe.worker.holdings`; of a worker that was not started, nothing."""
        with self._lock:
            started = self._executor is not None
        return self._call(worker.holdings) if started else Holdings()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Stop the worker after the call in hand, or kill it when that takes longer than `seconds`."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is None:
            return
        processes = _processes(executor)
        executor.shutdown(wait=not processes, cancel_futures=True)
        ends = time.monotonic() + seconds
        for process in processes:
            process.join(max(0.0, ends - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
        executor.shutdown(wait=True)

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever was interrupted does not wait for what nobody will read.
        self.close(CLOSE_SECONDS if kind is None or issubclass(kind, Exception) else 0.0)

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        with self._lock:
            if self._executor is None:
                self._executor = self._make_executor()
            executor = self._executor
        try:
            return executor.submit(function, *arguments).result(timeout=self._seconds)
        except FutureTimeout as error:
            self._discard(executor)
            raise WorkerLost(f"the evaluation took longer than {self._seconds:.0f} s and was ended") from error
        except BrokenProcessPool as error:
            self._discard(executor)
            raise WorkerLost(
                "the evaluation worker died and is replaced; that alone says nothing of the job"
            ) from error

    def _discard(self, executor: Executor) -> None:
        """Forget an executor whose process died or hangs; the next call starts another."""
        with self._lock:
            if self._executor is executor:
                self._executor = None
                self.replaced += 1
        for process in _processes(executor):
            process.kill()
            process.join(1)
        with contextlib.suppress(BrokenProcessPool):
            executor.shutdown(wait=False, cancel_futures=True)


class WorkerProcess(ProcessPoolExecutor):
    """One spawned process with a folder for its temporary files, which is gone when the process is."""

    def __init__(self, initialise: Callable[..., None], *arguments: object) -> None:
        """Prepare; the process calls `initialise` with the arguments when it starts."""
        folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDERS}{os.getpid()}-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        # Spawned, not forked: the parent has threads, and the child must not inherit what the parent holds in memory.
        super().__init__(
            1, multiprocessing.get_context("spawn"), _initialise, (os.getpid(), folder, initialise, arguments)
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor`; the folder goes when the process has ended."""
        alive = any(process.exitcode is None for process in _processes(self))
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait or not alive:
            self._remove()


def remove_leftovers() -> int:
    """Remove folders of workers whose parent was killed before it could; return how many there were."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*"):
        parent = folder.name.removeprefix(_FOLDERS).partition("-")[0]
        if not parent.isdecimal() or Path("/proc", parent).exists():
            continue
        try:
            owner = folder.stat().st_uid
        except FileNotFoundError:
            # Another operator of this machine, or a worker that ends, was faster.
            continue
        if owner == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _processes(executor: Executor) -> list[BaseProcess]:
    # The standard library has no public way to end a hanging worker before Python 3.14.
    return list((getattr(executor, "_processes", None) or {}).values())


def _initialise(parent: int, folder: Path, initialise: Callable[..., None], arguments: tuple[object, ...]) -> None:
    worker.end_with(parent)
    worker.keep_files_in(folder)
    initialise(*arguments)


def _process(profile: Profile, memory_bytes: int, threads: int | None) -> Executor:
    return WorkerProcess(_start_worker, profile, memory_bytes, threads)


def _start_worker(profile: Profile, memory_bytes: int, threads: int | None) -> None:
    """Initialise a worker process, with a limit on its threads that the FHE library's runtime reads when it starts."""
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    worker.start(profile, memory_bytes)
