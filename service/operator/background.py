"""The operator's background work: one thread that evaluates due runs and watches deadlines."""

import logging
import threading
import time

from atomic_margin.service.operator.answers import settle_unfinished
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import evaluate_next, recover, sweep_deadlines

SETTLEMENT_SECONDS = 5.0
"""Time between two tries to settle what could not be settled."""

_log = logging.getLogger(__name__)


class BackgroundWork:
    """Recovers from a crash at start, then evaluates and watches until stopped."""

    def __init__(self, operator: Operator, interval: float = 0.25) -> None:
        """Prepare; `start` begins. `interval` is the longest idle time in seconds."""
        self._operator = operator
        self._interval = interval
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="runs", daemon=True)

    def start(self) -> None:
        """Finish what a crash left open, start the worker process and the thread."""
        removed, settled = self._operator.remove_orphans(), settle_unfinished(self._operator)
        again = recover(self._operator)
        _log.info("recovered: %d files removed, settled %s, scheduled again %s", removed, settled, again)
        self._operator.evaluator.start()
        self._thread.start()

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def stop(self) -> None:
        """Stop after the run in hand; the worker process is stopped by the operator."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=30)

    def _loop(self) -> None:
        next_settlement = 0.0
        while not self._stop.is_set():
            try:
                sweep_deadlines(self._operator)
                if time.monotonic() >= next_settlement:
                    settle_unfinished(self._operator)
                    next_settlement = time.monotonic() + SETTLEMENT_SECONDS
                worked = evaluate_next(self._operator) is not None
            except Exception:
                # A database that is locked or full for a while must not end the watch.
                _log.exception("background work failed; going on")
                worked = False
            if not worked:
                self._wake.wait(self._interval)
                self._wake.clear()
