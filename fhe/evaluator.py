"""The operator's side of evaluation: a worker process behind a `concurrent.futures.Executor`.

The operator's service calls it; no secret key can come near it. A worker that dies takes its call with it and is
replaced, so that bytes which abort the FHE library cost their sender an error and nobody else anything.
"""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
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

    Calls block; they may come from several threads and are served one after the other, because one evaluation already
    uses every core.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        seconds: float = DEFAULT_SECONDS,
        make_executor: Callable[[], Executor] | None = None,
    ) -> None:
        """Prepare for `profile`; the process starts with the first call or with `start`.

        Args:
            profile: what to evaluate.
            memory_bytes: address-space limit of the process.
            seconds: longest time a call may take, the waiting for its turn included; then the process is killed.
            make_executor: for tests and other process layouts; by default one spawned process.
        """
        self.profile = profile
        self._seconds = seconds
        self._make_executor = make_executor or (lambda: _process(profile, memory_bytes))
        self._executor: Executor | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the worker and wait until it has compiled the profile."""
        self._call(worker.ready)

    def check_keys(self, keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
        """See `atomic_margin.fhe.worker.check_keys`."""
        return self._call(worker.check_keys, keys, challenges)

    def evaluate(
        self, keys: KeyFile, ciphertext: bytes, A: IntArray, c: IntArray, functions: tuple[str, ...]
    ) -> Evaluation:
        """See `atomic_margin.fhe.worker.evaluate`."""
        return self._call(worker.evaluate, keys, ciphertext, A, c, functions)

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
        # The standard library has no public way to end a hanging worker before Python 3.14.
        for process in list((getattr(executor, "_processes", None) or {}).values()):
            process.kill()
        with contextlib.suppress(BrokenProcessPool):
            executor.shutdown(wait=False, cancel_futures=True)


def _process(profile: Profile, memory_bytes: int) -> Executor:
    # Spawned, not forked: the parent has threads, and the child must not inherit what the parent holds in memory.
    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=worker.start,
        initargs=(profile, memory_bytes),
    )
