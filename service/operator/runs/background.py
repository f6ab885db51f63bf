"""The operator's background work: threads that watch deadlines, evaluate runs, one a worker, and shortfalls."""

import logging
import threading
import time
from collections.abc import Callable

from atomic_margin.service.operator.clock import ClockWatch
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.operator.runs.answers import settle_unfinished
from atomic_margin.service.operator.runs.evaluation import ask_next, evaluate_next, recover, sweep_deadlines
from atomic_margin.service.operator.runs.pruning import PruningRounds
from atomic_margin.service.operator.runs.shortfalls import ShortfallWork, recover_shortfalls
from atomic_margin.service.operator.runs.warming import KeyWarmer

SETTLEMENT_SECONDS = 5.0
"""Time between two tries to settle what could not be settled."""

_log = logging.getLogger(__name__)


class BackgroundWork:
    """Recovers from a crash at start, then evaluates and watches until stopped."""

    def __init__(self, operator: Operator, interval: float = 0.25) -> None:
        """Prepare; `start` begins. `interval` is the longest idle time in seconds."""
        self._operator = operator
        self._interval = interval
        self._warmer = KeyWarmer(operator)
        self._shortfalls = ShortfallWork(operator)
        self._publisher = Publisher(operator)
        self._clock = ClockWatch(operator.measures)
        self._stop = threading.Event()
        self._next_settlement = 0.0
        rounds: list[tuple[str, Callable[[], bool]]] = [("watch", self._watch)]
        rounds += [(f"runs-{number}", self._evaluate) for number in range(operator.evaluator.workers)]
        rounds.append(("shortfalls", self._shortfalls.evaluate_next))
        rounds.append(("log", self._publisher.publish))
        rounds.append(("retention", PruningRounds(operator).look))
        self._wakes = [threading.Event() for _ in rounds]
        self._threads = [
            threading.Thread(target=self._loop, args=(work, wake), name=name, daemon=True)
            for (name, work), wake in zip(rounds, self._wakes, strict=True)
        ]

    def start(self) -> None:
        """Finish what a crash left open, start the worker processes and the threads.

        Raises:
            LogBehind: the database is older than what witnesses cosigned; nothing is begun.
        """
        self._publisher.require_newest()
        removed, settled = self._operator.remove_orphans(), settle_unfinished(self._operator)
        again = recover(self._operator) + recover_shortfalls(self._operator)
        if removed or settled or again:
            _log.info("recovered: %d files removed, settled %s, scheduled again %s", removed, settled, again)
        self._operator.evaluator.start()
        for thread in self._threads:
            thread.start()

    def works(self) -> bool:
        """Return whether every thread of it lives."""
        return not self._stop.is_set() and all(thread.is_alive() for thread in self._threads)

    def is_behind(self) -> bool:
        """Return whether witnesses know more of the log than is stored here."""
        return self._publisher.behind

    def wake(self) -> None:
        """Look for work now."""
        self._warmer.look_again()
        for wake in self._wakes:
            wake.set()

    def stop(self) -> None:
        """Stop after the runs in hand; the worker processes are stopped by the operator."""
        self._stop.set()
        self._shortfalls.stop()
        self.wake()
        for thread in self._threads:
            thread.join(timeout=30)
        self._publisher.close()

    def _loop(self, work: Callable[[], bool], wake: threading.Event) -> None:
        while not self._stop.is_set():
            try:
                worked = work()
            except Exception:
                # A database that is locked or full for a while must not end the watch.
                _log.exception("background work failed; going on")
                worked = False
            if not worked:
                wake.wait(self._interval)
                wake.clear()

    def _watch(self) -> bool:
        self._clock.look()
        sweep_deadlines(self._operator)
        if time.monotonic() >= self._next_settlement:
            settle_unfinished(self._operator)
            self._next_settlement = time.monotonic() + SETTLEMENT_SECONDS
        return ask_next(self._operator) is not None

    def _evaluate(self) -> bool:
        """Do one thing. No run that is due waits behind an expansion that has not begun."""
        if evaluate_next(self._operator) is not None:
            # It may have cost a worker, and the keys in its memory.
            self._warmer.look_again()
            return True
        return self._warmer.warm_next()
