"""The executor by default: worker processes of this machine.

`service.operator` makes one from the `Evaluator`s that `fhe.evaluator` gives it.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from atomic_margin.fhe.errors import ExecutorUnavailable
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.executors.port import GRACE_SECONDS, EvaluationExecutor, Job
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

T = TypeVar("T")

NOTHING = Holdings()
CALLS_WAITING = 8
"""Calls that may wait in a thread beside those in hand; more wait in the queue of the threads."""


@dataclass
class _Slot:
    """One worker: calls in hand, and what it held after the last one, unless its process was replaced since."""

    evaluator: Evaluator
    calls: int = 0
    replaced: int = 0
    known: Holdings = NOTHING

    def held(self) -> Holdings:
        if self.replaced != self.evaluator.replaced:
            self.replaced, self.known = self.evaluator.replaced, NOTHING
        return self.known


class ProcessPool(EvaluationExecutor):
    """Several evaluators; as many jobs run at once as there are.

    A job goes to a free worker that has its keys in memory, else to a free one that has room, else to the free one that
    holds fewest; when none is free, it queues at the one with the shortest queue. So an account's keys stay with one
    worker, and a worker that dies takes one job with it.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        """Serve jobs by these evaluators, which are all of one profile."""
        if not evaluators:
            raise ValueError("a pool needs an evaluator at least")
        self.profile = evaluators[0].profile
        self._slots = [_Slot(evaluator) for evaluator in evaluators]
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(len(evaluators) + CALLS_WAITING, "evaluation")
        self._closed = False

    @property
    def workers(self) -> int:
        """How many jobs run at once."""
        return len(self._slots)

    def start(self) -> None:
        """Start every worker and wait until each has compiled the profile."""
        # The first one fills the cache that the others load from.
        self._slots[0].evaluator.start()
        with ThreadPoolExecutor(self.workers) as starting:
            list(starting.map(lambda slot: slot.evaluator.start(), self._slots[1:]))

    def submit(self, job: Job) -> "Future[Evaluation]":
        """See `EvaluationExecutor.submit`."""
        return self._submit(
            job.keys,
            lambda one: one.evaluate(job.keys, job.ciphertext, job.A, job.c, job.functions, job.chosen),
        )

    def warm(self, keys: KeyFile, functions: tuple[str, ...]) -> "Future[str]":
        """See `EvaluationExecutor.warm`."""
        return self._submit(keys, lambda one: one.warm_up(keys, functions))

    def held(self) -> Mapping[str, Holdings]:
        """See `EvaluationExecutor.held`."""
        with self._lock:
            return {f"process-{number}": slot.held() for number, slot in enumerate(self._slots)}

    def available(self) -> bool:
        """Return whether it is not closed: a process that died is started again by the next job."""
        return not self._closed

    def close(self, seconds: float = GRACE_SECONDS) -> None:
        """See `EvaluationExecutor.close`."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        # Together, so that ten that hang take no longer than one.
        closing = [threading.Thread(target=slot.evaluator.close, args=(seconds,)) for slot in self._slots]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _submit(self, keys: KeyFile, work: Callable[[Evaluator], T]) -> "Future[T]":
        try:
            return self._threads.submit(self._serve, keys.sha256, work)
        except RuntimeError as error:
            raise ExecutorUnavailable("the workers are being stopped; no job is taken") from error

    def _serve(self, keys: str, work: Callable[[Evaluator], T]) -> T:
        with self._lock:
            slot = min(self._slots, key=lambda one: _rank(one, keys))
            slot.calls += 1
        try:
            result = work(slot.evaluator)
            if not self._closed:
                held = slot.evaluator.holdings()
                with self._lock:
                    slot.held()
                    slot.known = held
            return result
        finally:
            with self._lock:
                slot.calls -= 1


def _rank(slot: _Slot, keys: str) -> tuple[int, bool, bool, int]:
    held = slot.held()
    return slot.calls, keys not in held.keys, not held.has_room, len(held.keys)


def threads_of_each(workers: int) -> int | None:
    """Return how many threads each of `workers` evaluators gets of the cores this process may use; None: no limit."""
    return None if workers == 1 else max(1, len(os.sched_getaffinity(0)) // workers)
