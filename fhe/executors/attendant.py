"""Keeps one worker of a cluster running on this machine, whatever becomes of it or of the scheduler.

`atomic-margin worker` calls it. The worker is a process of its own under a Dask nanny, which starts another one when it
dies; this starts another nanny when the scheduler was away.
"""

import asyncio
import logging
import signal
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import dask

from atomic_margin.fhe.executors.cluster_settings import ClusterSettings
from atomic_margin.fhe.executors.station import CONFIG

CLOSE_SECONDS = 10
AGAIN_SECONDS = 2.0
"""Time between two tries to join the scheduler."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerSettings:
    """What whoever runs a worker chooses.

    Attributes:
        cluster: whose worker it is.
        threads: that an evaluation may use; None: every core.
        memory_bytes: address-space limit of the evaluation process.
        host: address of this machine that the others reach; None: found out.
        name: of the worker in the scheduler's lists.
    """

    cluster: ClusterSettings
    threads: int | None
    memory_bytes: int
    host: str | None
    name: str | None


def attend(settings: WorkerSettings) -> None:
    """Keep a worker running until the process is told to stop."""
    if settings.cluster.exposed:
        _log.warning(
            "%s is plain TCP to another machine: whoever is on the way reads evaluation keys and ciphertexts, and runs "
            "programs here; use tls:// and certificates",
            settings.cluster.scheduler,
        )
    with (
        tempfile.TemporaryDirectory(prefix="atomic-margin-cluster-") as folder,
        dask.config.set(_configuration(settings)),
    ):
        asyncio.run(_attend(settings, folder))


def _configuration(settings: WorkerSettings) -> dict[str, Any]:
    return {
        # The evaluation process is a child of the worker's, which a daemon may not have.
        "distributed.worker.daemon": False,
        # Nothing is served by HTTP; the page of a worker shows what it computes.
        "distributed.worker.http.routes": [],
        CONFIG: {"memory-bytes": settings.memory_bytes, "threads": settings.threads},
    }


async def _attend(settings: WorkerSettings, folder: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    told = False
    while not stop.is_set():
        try:
            await _serve(settings, folder, stop)
            told = False
        except (OSError, RuntimeError, asyncio.TimeoutError) as error:
            if not told:
                _log.warning(
                    "the scheduler %s is away, or has no place here; going on: %s", settings.cluster.scheduler, error
                )
            told = True
        await _first(stop.wait(), asyncio.sleep(AGAIN_SECONDS))


async def _serve(settings: WorkerSettings, folder: str, stop: asyncio.Event) -> None:
    """Be a worker until the scheduler goes away or the process is told to stop."""
    from distributed import Nanny

    nanny = Nanny(
        settings.cluster.scheduler,
        nthreads=1,
        memory_limit=0,
        name=settings.name,
        host=settings.host,
        local_directory=folder,
        preload=["atomic_margin.fhe.executors.station"],
        security=settings.cluster.security(),
        dashboard_address="127.0.0.1:0",
        dashboard=False,
    )
    try:
        await _first(stop.wait(), _started(nanny))
        if not stop.is_set():
            _log.info("worker joined %s", settings.cluster.scheduler)
            await _first(stop.wait(), nanny.finished())
    finally:
        await nanny.close(timeout=CLOSE_SECONDS)


async def _started(nanny: Any) -> None:
    await nanny


async def _first(*ways: Coroutine[Any, Any, Any]) -> None:
    """Wait for the first of several; cancel the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
