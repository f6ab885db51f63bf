"""The executor over several machines: the workers of a Dask scheduler, each a `station`.

`service.operator` makes one for `serve --scheduler`. Keys are named by their hash; a worker that lacks them says so,
and they are sent to it once. Which worker has which keys in memory is what it said with its last job. Nothing is tried
again here: what was lost with its worker, or with the scheduler, fails, and the operator's database counts it.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import Any, TypeVar

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.errors import ExecutorUnavailable, WorkerLost
from atomic_margin.fhe.evaluator import DEFAULT_SECONDS
from atomic_margin.fhe.executors import station
from atomic_margin.fhe.executors.cluster_settings import ClusterSettings, give_up_at_once
from atomic_margin.fhe.executors.port import GRACE_SECONDS, EvaluationExecutor, Job
from atomic_margin.fhe.executors.station import Done, KeyName, KeysMissing
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

T = TypeVar("T")
# Three names of one error from CPython 3.11 on.
TIMEOUTS = (TimeoutError, FutureTimeout, asyncio.TimeoutError)

CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 5.0
"""Time between two tries to reach a scheduler that is not there."""
LOOK_SECONDS = 1.0
"""What is known of the cluster's workers is at most so old."""
SENDING_SECONDS = 300.0
"""Longest time that keys take to a worker."""
STRANDED_SECONDS = 5.0
"""Time between two looks whether somebody has a job that is waited for."""
SENT_AT_MOST = 3
"""How often keys are sent for one job: a worker may be replaced meanwhile."""

_log = logging.getLogger(__name__)


class Cluster(EvaluationExecutor):
    """The workers of a scheduler, which may come and go. A scheduler that is away is looked for again and again."""

    def __init__(
        self, profile: Profile, settings: ClusterSettings, *, jobs: int, seconds: float = DEFAULT_SECONDS
    ) -> None:
        """Prepare; nothing is connected before `start` or the first job.

        Args:
            profile: what to evaluate.
            settings: where the scheduler is.
            jobs: how many jobs are handed out at once at most.
            seconds: longest time of a job, the waiting for its worker included.
        """
        self.profile, self._settings, self._jobs, self._seconds = profile, settings, jobs, seconds
        self._client: Any = None
        self._loop: Any = None
        self._connecting, self._lock = threading.Lock(), threading.Lock()
        self._next_try = self._looked = 0.0
        self._addresses: tuple[str, ...] = ()
        self._held: dict[str, Holdings] = {}
        self._calls: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(jobs + 1, "cluster")
        self._closed = False

    @property
    def workers(self) -> int:
        """How many jobs are handed out at once at most."""
        return self._jobs

    def start(self) -> None:
        """Connect, if the scheduler is there; else it is looked for when there is work."""
        try:
            found = len(self._look(self._connected()))
            _log.info("connected to the scheduler %s; %d workers", self._settings.scheduler, found)
        except ExecutorUnavailable as error:
            _log.warning("%s", error)

    def available(self) -> bool:
        """Return whether a worker is free; asks the scheduler now and then, and does not wait for one that is away."""
        if self._closed or not self._connecting.acquire(blocking=False):
            return False
        self._connecting.release()
        try:
            addresses = self._look(self._connected())
        except ExecutorUnavailable:
            return False
        with self._lock:
            return sum(self._calls.values()) < len(addresses)

    def submit(self, job: Job) -> "Future[Evaluation]":
        """See `EvaluationExecutor.submit`."""
        arguments = (job.ciphertext, (job.A, job.c), job.functions, job.chosen)
        return self._submit(lambda: self._serve(station.evaluate, job.keys, *arguments))

    def warm(self, keys: KeyFile, functions: tuple[str, ...]) -> "Future[str]":
        """See `EvaluationExecutor.warm`."""
        return self._submit(lambda: self._serve(station.warm_up, keys, functions))

    def held(self) -> Mapping[str, Holdings]:
        """See `EvaluationExecutor.held`."""
        with self._lock:
            return {address: self._held.get(address, Holdings()) for address in self._addresses}

    def close(self, seconds: float = GRACE_SECONDS) -> None:
        """See `EvaluationExecutor.close`. The workers are not ended: they are not this operator's alone to end."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        ends = time.monotonic() + seconds
        while sum(self._calls.values()) and time.monotonic() < ends:
            time.sleep(0.05)
        self._drop(self._client)
        with self._connecting:
            if self._loop is not None:
                self._loop.stop()
                self._loop = None

    def _submit(self, work: Callable[[], T]) -> "Future[T]":
        try:
            return self._threads.submit(work)
        except RuntimeError as error:
            raise ExecutorUnavailable("the operator is being stopped; no job is taken") from error

    def _serve(self, task: Callable[..., Done], keys: KeyFile, *arguments: Any) -> Any:
        """Have one job done by the worker that suits it best, sending it the keys if it lacks them."""
        client, name = self._connected(), KeyName(keys.sha256, keys.known_answer_input)
        ends = time.monotonic() + self._seconds
        for _ in range(SENT_AT_MOST + 1):
            address = self._take(client, keys.sha256)
            try:
                done = self._result(client, address, ends - time.monotonic(), task, self.profile, name, *arguments)
                with self._lock:
                    # It may be another one, if the one that was asked had just left.
                    self._held[done.worker] = done.holdings
                return done.result
            except KeysMissing as missing:
                self._send(client, missing.worker, keys)
            finally:
                with self._lock:
                    self._calls[address] -= 1
        raise ExecutorUnavailable(f"keys were sent {SENT_AT_MOST} times, and no worker kept them")

    def _send(self, client: Any, address: str, keys: KeyFile) -> None:
        """Send keys to a worker, which checks their hash."""
        _log.info("keys %s are sent to worker %s", keys.sha256, address)
        with self._errors(client, address, SENDING_SECONDS):
            data = client.scatter(keys.path.read_bytes(), workers=[address], hash=False)
        self._result(client, address, SENDING_SECONDS, station.keep_keys, keys.sha256, data)

    def _take(self, client: Any, keys: str) -> str:
        """Choose a worker: a free one, one that has the keys, one that has room, one that holds few."""
        addresses = self._look(client)
        with self._lock:
            if not addresses:
                raise ExecutorUnavailable(f"the scheduler {self._settings.scheduler} has no worker; start some")

            def rank(address: str) -> tuple[int, bool, bool, int]:
                held = self._held.get(address, Holdings())
                return self._calls[address], keys not in held.keys, not held.has_room, len(held.keys)

            address = min(addresses, key=rank)
            self._calls[address] += 1
            return address

    def _result(self, client: Any, address: str, seconds: float, task: Callable[..., T], *arguments: Any) -> T:
        """Run a task on one worker, or on any if that one has just left, and wait for it."""
        ends = time.monotonic() + seconds
        with self._errors(client, address, seconds):
            future = client.submit(task, *arguments, workers=[address], allow_other_workers=True, pure=False, retries=0)
            while True:
                try:
                    result: T = future.result(timeout=max(0.0, min(STRANDED_SECONDS, ends - time.monotonic())))
                    return result
                except TIMEOUTS:
                    if future.done():
                        # Just now; or the error is the job's own, and comes again.
                        ended: T = future.result()
                        return ended
                    if time.monotonic() >= ends:
                        future.cancel(force=True)
                        raise
                    if self._is_stranded(client, address, future):
                        future.cancel(force=True)
                        self._forget(address)
                        raise ExecutorUnavailable(f"the worker {address} left before it took the job") from None

    def _is_stranded(self, client: Any, address: str, future: Any) -> bool:
        """Return whether a job waits for a worker that is gone.

        When the last worker has just left, the scheduler keeps the job for it, and gives it to none that comes later.
        """
        try:
            if address in client.ncores():
                return False
            taken = any(future.key in keys for keys in client.processing().values())
        except (OSError, *TIMEOUTS, CancelledError) as error:
            self._drop(client)
            raise ExecutorUnavailable(f"the scheduler {self._settings.scheduler} went away: {error}") from error
        return not taken and not future.done()

    @contextmanager
    def _errors(self, client: Any, address: str, seconds: float) -> Iterator[None]:
        """Say what became of a job in the words of the port.

        Raises:
            WorkerLost: its worker died, or took too long.
            ExecutorUnavailable: the scheduler is away.
        """
        from distributed.scheduler import KilledWorker

        try:
            yield
        except KilledWorker as error:
            self._forget(address)
            raise WorkerLost(f"the worker {address} died with the job") from error
        except TIMEOUTS as error:
            raise WorkerLost(f"the worker {address} took longer than {seconds:.0f} s") from error
        except (CancelledError, OSError) as error:
            self._drop(client)
            raise ExecutorUnavailable(f"the scheduler {self._settings.scheduler} went away: {error}") from error

    def _look(self, client: Any) -> tuple[str, ...]:
        """Return the workers that are there, as of a moment ago."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            try:
                addresses = tuple(sorted(client.ncores()))
            except (OSError, *TIMEOUTS, CancelledError) as error:
                self._drop(client)
                raise ExecutorUnavailable(f"the scheduler {self._settings.scheduler} went away: {error}") from error
            with self._lock:
                self._addresses, self._looked = addresses, time.monotonic()
                for gone in self._held.keys() - set(addresses):
                    del self._held[gone]
        return self._addresses

    def _forget(self, address: str) -> None:
        with self._lock:
            self._held.pop(address, None)
            self._looked = 0.0

    def _connected(self) -> Any:
        """Return a client that is connected.

        Raises:
            ExecutorUnavailable: the scheduler is away.
        """
        with self._connecting:
            if self._client is not None and self._client.status == "running":
                return self._client
            away = f"the scheduler {self._settings.scheduler} does not answer; runs wait until it does"
            if self._closed or time.monotonic() < self._next_try:
                raise ExecutorUnavailable(away)
            self._drop(self._client)
            from distributed import Client
            from distributed.utils import LoopRunner

            if self._loop is None:
                # One for all connections: a client that cannot connect would leave the thread of its own behind.
                self._loop = LoopRunner(asynchronous=False)
                self._loop.start()
            try:
                client = Client(
                    self._settings.scheduler,
                    security=self._settings.security(),
                    timeout=CONNECT_SECONDS,
                    set_as_default=False,
                    loop=self._loop.loop,
                )
                client.run_on_scheduler(give_up_at_once)
            except (OSError, *TIMEOUTS, CancelledError, ValueError, RuntimeError) as error:
                self._next_try = time.monotonic() + RECONNECT_SECONDS
                raise ExecutorUnavailable(f"{away}: {str(error).splitlines()[0] if str(error) else error!r}") from error
            self._client, self._looked = client, 0.0
            return client

    def _drop(self, client: Any) -> None:
        """Give a connection up; the next job makes another."""
        if client is None:
            return
        if self._client is client:
            self._client = None
        try:
            client.close(timeout=1)
        except (OSError, *TIMEOUTS, CancelledError) as error:
            _log.debug("closing the connection to the scheduler: %r", error)
