"""A custodian that runs: one thread for deals, one for openings, each with calls of its own on the operator.

An opening may compute for minutes, and deals have a time. What fails is tried again after ever longer times.
"""

import logging
import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from atomic_margin.service.custodian.client import OperatorClient
from atomic_margin.service.custodian.computing import Engine, Listens
from atomic_margin.service.custodian.deals import Deals
from atomic_margin.service.custodian.erasing import Erasing
from atomic_margin.service.custodian.errors import OpeningRefused
from atomic_margin.service.custodian.openings import Openings
from atomic_margin.service.custodian.own import Own
from atomic_margin.service.custodian.reading import Reading
from atomic_margin.service.custodian.resharing import Resharings
from atomic_margin.service.errors import ServiceError

LONGEST_PAUSE_SECONDS = 60.0
JOIN_SECONDS = 10.0

_RANDOM = random.SystemRandom()
_log = logging.getLogger(__name__)


class Settings(NamedTuple):
    """How a custodian runs.

    Attributes:
        address: host and port by which others reach its engine.
        listens: where that listens.
        interval: seconds between two rounds.
        keep_days: how long shares of deals stay that no book is under.
    """

    address: str
    listens: Listens
    interval: float
    keep_days: int


class Loop:
    """Rounds of one kind, one after the other, in a thread."""

    def __init__(self, name: str, round_: Callable[[], object], interval: float, stop: threading.Event) -> None:
        """Prepare; `start` begins."""
        self._name, self._round, self._interval, self._stop = name, round_, interval, stop
        self._trouble: str | None = None
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)

    def _work(self) -> None:
        pause = self._interval
        while not self._stop.is_set():
            try:
                self._round()
            except Exception as error:
                # One round must not end the others; what is wrong is said once, until it changes.
                pause = min(2 * pause, max(LONGEST_PAUSE_SECONDS, self._interval))
                self._say(error)
            else:
                pause = self._interval
                if self._trouble is not None:
                    _log.info("%s go on", self._name)
                self._trouble = None
            self._stop.wait(_RANDOM.uniform(pause / 2, pause))

    def _say(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._trouble:
            level = logging.WARNING if isinstance(error, ServiceError) else logging.ERROR
            _log.log(level, "%s wait: %s; trying again", self._name, said)
            _log.debug("it came from", exc_info=error)
        self._trouble = said


class CustodianProcess:
    """One custodian and its threads."""

    def __init__(self, own: Own, connect: Callable[[], OperatorClient], engine: Engine, settings: Settings) -> None:
        """Prepare; `start` begins.

        Raises:
            LogUnreadable: what is remembered of the log is damaged.
        """
        self._own, self._stop, self._clients = own, threading.Event(), ExitStack()
        for_deals, for_openings = (self._connected(connect) for _ in range(2))
        deals, reading = Deals(own, for_deals), Reading(own, for_openings)
        openings = Openings(
            own, for_openings, reading, Deals(own, for_openings).held, engine, settings.address, settings.listens
        )
        resharings = Resharings(own, for_openings, reading, Deals(own, for_openings))
        erasing = Erasing(own, for_openings, reading, settings.keep_days)

        def deals_round() -> None:
            deals.round()
            deals.forget()

        def openings_round() -> None:
            # Dates entries, also while nothing is open; what is open is refused by name where that fails for long.
            try:
                reading.look()
            except OpeningRefused as error:
                _log.warning("the log is not read: %s: %s", type(error).__name__, error)
            openings.round()
            resharings.round()
            erasing.round()

        self._loops = [
            Loop("deals", deals_round, settings.interval, self._stop),
            Loop("openings", openings_round, settings.interval, self._stop),
        ]

    def start(self) -> None:
        """Begin."""
        for loop in self._loops:
            loop.thread.start()

    def wait(self) -> None:
        """Wait until somebody stops it."""
        # A wait without a limit takes no signals on some systems.
        while not self._stop.wait(1):
            pass

    def stop(self) -> None:
        """End after what is in hand; a computation that is running is given up by the next process."""
        self._stop.set()

    def close(self) -> None:
        """Wait for the threads a little, and release everything."""
        self._stop.set()
        for loop in self._loops:
            if loop.thread.ident is not None:
                loop.thread.join(JOIN_SECONDS)
        self._clients.close()
        if not any(loop.thread.is_alive() for loop in self._loops):
            self._own.store.close()

    def _connected(self, connect: Callable[[], OperatorClient]) -> OperatorClient:
        client = connect()
        self._clients.callback(client.close)
        return client
