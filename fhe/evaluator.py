"""The operator's side of evaluation: worker processes, each behind a `concurrent.futures.Executor`.

The operator's service calls it; no secret key can come near it. A worker that dies takes its call with it and is
replaced, so that bytes which abort the FHE library cost their sender an error and nobody else anything.
"""

import contextlib
import multiprocessing
import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe import worker
from atomic_margin.fhe.errors import EvaluationFailed
from atomic_margin.fhe.worker import Evaluation, KeyFile

IntArray = npt.NDArray[np.int64]
T = TypeVar("T")

DEFAULT_MEMORY_BYTES = 16 << 30
DEFAULT_SECONDS = 600.0


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

    def close(self) -> None:
        """Stop the worker."""
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=True, cancel_futures=True)
                self._executor = None

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        with self._lock:
            if self._executor is None:
                self._executor = self._make_executor()
            executor = self._executor
        try:
            return executor.submit(function, *arguments).result(timeout=self._seconds)
        except FutureTimeout as error:
            self._discard(executor)
            raise EvaluationFailed(f"the evaluation took longer than {self._seconds:.0f} s and was ended") from error
        except BrokenProcessPool as error:
            self._discard(executor)
            raise EvaluationFailed(
                "the evaluation worker died and is replaced; if trying again kills it too, the keys or ciphertext are "
                "malformed"
            ) from error

    def _discard(self, executor: Executor) -> None:
        """Forget an executor whose process died or hangs; the next call starts another."""
        with self._lock:
            if self._executor is executor:
                self._executor = None
                self.replaced += 1
        # The standard library has no public way to end a hanging worker before Python 3.14.
        for process in list((getattr(executor, "_processes", None) or {}).values()):
            process.kill()
        with contextlib.suppress(BrokenProcessPool):
            executor.shutdown(wait=False, cancel_futures=True)


@dataclass
class _Slot:
    """One worker of a pool: calls in hand, and the keys its process has expanded, as far as is known, oldest first."""

    evaluator: Evaluator
    calls: int = 0
    replaced: int = 0
    warm: "OrderedDict[str, None]" = field(default_factory=OrderedDict)

    def held(self) -> "OrderedDict[str, None]":
        if self.replaced != self.evaluator.replaced:
            self.replaced = self.evaluator.replaced
            self.warm.clear()
        return self.warm


class EvaluatorPool:
    """Several evaluators behind the interface of one. Calls block; as many run at once as there are workers.

    A call goes to a free worker that has its keys in memory, else to the free one that holds fewest keys; when none is
    free, it queues at the one with the shortest queue. So an account's keys stay with one worker, and a worker that
    dies takes one call with it.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        """Serve calls by these evaluators, which are all of one profile."""
        if not evaluators:
            raise ValueError("a pool needs an evaluator at least")
        self.profile = evaluators[0].profile
        self._slots = [_Slot(evaluator) for evaluator in evaluators]
        self._lock = threading.Lock()

    @property
    def workers(self) -> int:
        """How many calls run at once."""
        return len(self._slots)

    def start(self) -> None:
        """Start every worker and wait until each has compiled the profile."""
        # The first one fills the cache that the others load from.
        self._slots[0].evaluator.start()
        with ThreadPoolExecutor(self.workers) as starting:
            list(starting.map(lambda slot: slot.evaluator.start(), self._slots[1:]))

    def check_keys(self, keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
        """See `atomic_margin.fhe.worker.check_keys`."""
        with self._worker_for(keys) as evaluator:
            return evaluator.check_keys(keys, challenges)

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
        with self._worker_for(keys) as evaluator:
            return evaluator.evaluate(keys, ciphertext, A, c, functions, chosen)

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        """See `atomic_margin.fhe.worker.warm_up`."""
        with self._worker_for(keys) as evaluator:
            return evaluator.warm_up(keys, functions)

    def is_warm(self, keys: str) -> bool:
        """Return whether some worker has the keys with this hash in memory."""
        with self._lock:
            return any(keys in slot.held() for slot in self._slots)

    def has_room(self) -> bool:
        """Return whether some worker can take further keys without giving up others."""
        with self._lock:
            return any(len(slot.held()) < worker.WARM_KEYS for slot in self._slots)

    def close(self) -> None:
        """Stop every worker."""
        for slot in self._slots:
            slot.evaluator.close()

    def __enter__(self) -> "EvaluatorPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _worker_for(self, keys: KeyFile) -> Iterator[Evaluator]:
        with self._lock:
            slot = min(self._slots, key=lambda one: (one.calls, keys.sha256 not in one.held(), len(one.held())))
            slot.calls += 1
        try:
            yield slot.evaluator
            with self._lock:
                warm = slot.held()
                warm[keys.sha256] = None
                warm.move_to_end(keys.sha256)
                while len(warm) > worker.WARM_KEYS:
                    warm.popitem(last=False)
        finally:
            with self._lock:
                slot.calls -= 1


def threads_of_each(workers: int) -> int | None:
    """Return how many threads each of `workers` evaluators gets of the cores this process may use; None: no limit."""
    return None if workers == 1 else max(1, len(os.sched_getaffinity(0)) // workers)


class WorkerProcess(ProcessPoolExecutor):
    """One spawned process with a folder for its temporary files, which is gone when the process is."""

    def __init__(self, initialise: Callable[..., None], *arguments: object) -> None:
        """Prepare; the process calls `initialise` with the arguments when it starts."""
        folder = Path(tempfile.mkdtemp(prefix="atomic-margin-worker-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        # Spawned, not forked: the parent has threads, and the child must not inherit what the parent holds in memory.
        super().__init__(1, multiprocessing.get_context("spawn"), _initialise, (folder, initialise, arguments))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor`; without waiting, the process has been killed before."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        self._remove()


def _initialise(folder: Path, initialise: Callable[..., None], arguments: tuple[object, ...]) -> None:
    worker.keep_files_in(folder)
    initialise(*arguments)


def _process(profile: Profile, memory_bytes: int, threads: int | None) -> Executor:
    return WorkerProcess(_start_worker, profile, memory_bytes, threads)


def _start_worker(profile: Profile, memory_bytes: int, threads: int | None) -> None:
    """Initialise a worker process, with a limit on its threads that the FHE library's runtime reads when it starts."""
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    worker.start(profile, memory_bytes)
