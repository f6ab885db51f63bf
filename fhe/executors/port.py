"""The port of evaluation: jobs go in, futures of evaluations come out, and it says which worker holds which keys.

The operator's background work calls it. Behind it stand `concurrent.futures` executors of workers, each of which
evaluates one job at a time in a process that the job can kill without harm to anything else.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

IntArray = npt.NDArray[np.int64]

GRACE_SECONDS = 10.0
"""Time that jobs in hand have to end when an executor is closed, unless the caller says otherwise."""


@dataclass(frozen=True)
class Job:
    """One evaluation.

    Attributes:
        keys: the institution's evaluation keys, by their hash; the file is where they can be read on this machine.
        ciphertext: raw words of z.
        A: clear weights, shape (R, N).
        c: clear collateral, shape (R,).
        functions: names, among the profile's, over the same number of rows.
        chosen: clear inputs that a function lets its caller choose, by name.
    """

    keys: KeyFile
    ciphertext: bytes
    A: IntArray
    c: IntArray
    functions: tuple[str, ...]
    chosen: dict[str, int] | None = None


class EvaluationExecutor(ABC):
    """Workers of one profile. Methods may be called from several threads.

    Futures fail with what `atomic_margin.fhe.worker.evaluate` raises, with `WorkerLost` when the worker died or hung,
    or with `ExecutorUnavailable` when none could be asked.
    """

    profile: Profile

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many jobs run at once, now or when its workers are all there; at least 1."""

    @abstractmethod
    def start(self) -> None:
        """Start what can be started here; wait until that has compiled the profile."""

    @abstractmethod
    def submit(self, job: Job) -> "Future[Evaluation]":
        """Have a job evaluated, where its keys are in memory if such a worker is free."""

    @abstractmethod
    def warm(self, keys: KeyFile, functions: tuple[str, ...]) -> "Future[str]":
        """Have keys expanded ahead of the first job; the result is the fingerprint of the plans."""

    @abstractmethod
    def held(self) -> Mapping[str, Holdings]:
        """Return which keys each worker has in memory, as far as is known here, by the worker's name."""

    @abstractmethod
    def close(self, seconds: float = GRACE_SECONDS) -> None:
        """Take no more jobs, wait so long for those in hand, then end their workers. What is cut off fails."""

    def evaluate(self, job: Job) -> Evaluation:
        """Have a job evaluated and wait for it."""
        return self.submit(job).result()

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        """Have keys expanded and wait for it."""
        return self.warm(keys, functions).result()

    def available(self) -> bool:
        """Return whether a job could begin soon; no job is tried for it."""
        return True

    def is_warm(self, keys: str) -> bool:
        """Return whether some worker has the keys with this hash in memory."""
        return any(keys in holdings.keys for holdings in self.held().values())

    def has_room(self) -> bool:
        """Return whether some worker can take further keys without giving up others."""
        return any(holdings.has_room for holdings in self.held().values())

    def __enter__(self) -> "EvaluationExecutor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
