"""The operator's background work: threads that keep claims, watch deadlines, and evaluate runs and shortfalls.

There is one thread for each job that the executor can run at once. Each takes the run that comes next (`priority`), or
a shortfall when it is its turn, or expands keys when nothing is due.
"""

import logging
import threading
import time
from collections.abc import Callable

from atomic_margin.service.operator.clock import ClockWatch
from atomic_margin.service.operator.custody import openings
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.operator.runs.answers import settle_unfinished
from atomic_margin.service.operator.runs.claims import reclaim, recover
from atomic_margin.service.operator.runs.evaluation import ask_next, evaluate_next, sweep_deadlines
from atomic_margin.service.operator.runs.failures import wait_seconds
from atomic_margin.service.operator.runs.pruning import PruningRounds
from atomic_margin.service.operator.runs.shortfalls import evaluate_shortfall, reclaim_shortfalls, recover_shortfalls
from atomic_margin.service.operator.runs.warming import KeyWarmer
from atomic_margin.service.operator.store.claims import renew
from atomic_margin.service.operator.store.database import now

SETTLEMENT_SECONDS = 5.0
"""Time between two tries to settle what could not be settled."""
CLAIM_SECONDS = 10.0
"""Time between two looks at claims: those in hand are renewed, and what nobody has in hand is taken back."""
RUNS_A_SHORTFALL = 4
"""A shortfall that waits gets a turn after so many runs, or before that when no run is due."""
CUT_OFF_SECONDS = 10.0
"""Time that a thread has to hand back its run once the workers are killed."""

_log = logging.getLogger(__name__)


class BackgroundWork:
    """Recovers from a crash at start, then evaluates and watches until stopped."""

    def __init__(self, operator: Operator, interval: float = 0.25) -> None:
        """Prepare; `start` begins. `interval` is the longest idle time in seconds."""
        self._operator = operator
        self._interval = interval
        self._warmer = KeyWarmer(operator)
        self._turns = ShortfallTurns()
        self._publisher = Publisher(operator)
        self._clock = ClockWatch(operator.measures)
        self._stop = threading.Event()
        self._next_settlement = self._next_claims = 0.0
        rounds: list[tuple[str, Callable[[], bool]]] = [("claims", self._keep_claims), ("watch", self._watch)]
        rounds += [(f"runs-{number}", self._evaluate) for number in range(operator.evaluator.workers)]
        rounds.append(("log", self._publisher.publish))
        rounds += operator.rail.rounds()
        rounds.append(("retention", PruningRounds(operator).look))
        self._wakes = [threading.Event() for _ in rounds]
        self._threads = [
            threading.Thread(target=self._loop, args=(name, work, wake), name=name, daemon=True)
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
        """Take no more work; let what is in hand end in `Settings.grace_seconds`, then cut it off and hand it back.

        A worker that hangs is killed with the others. The time that this takes is bounded.
        """
        self._stop.set()
        self.wake()
        if not self._joined(self._operator.settings.grace_seconds):
            _log.warning("stopping: what is in hand took too long; its workers are killed and it is handed back")
            self._operator.stopping.set()
            self._operator.evaluator.close(0)
            if not self._joined(CUT_OFF_SECONDS):
                _log.error("stopping: some work cannot be ended; the next start takes it back")
        self._publisher.close()

    def _joined(self, seconds: float) -> bool:
        """Wait for the threads, so long at most; return whether all have ended."""
        ends = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, ends - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _loop(self, name: str, work: Callable[[], bool], wake: threading.Event) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                worked, failures = work(), 0
            except Exception as error:
                # A database that is locked or full for a while must not end the watch, nor fill the log.
                failures, worked = failures + 1, False
                _log.warning("%s failed and goes on: %s: %s", name, type(error).__name__, str(error).split("\n")[0])
                _log.debug("%s", name, exc_info=True)
                self._stop.wait(wait_seconds(failures))
            if not worked:
                wake.wait(self._interval)
                wake.clear()

    def _keep_claims(self) -> bool:
        """Renew the claims in hand, then take back those that nobody has in hand."""
        if time.monotonic() >= self._next_claims:
            keep_claims(self._operator)
            self._next_claims = time.monotonic() + CLAIM_SECONDS
        return False

    def _watch(self) -> bool:
        self._clock.look()
        if sweep_deadlines(self._operator) or openings.sweep(self._operator):
            self.wake()
        if time.monotonic() >= self._next_settlement:
            settle_unfinished(self._operator)
            self._next_settlement = time.monotonic() + SETTLEMENT_SECONDS
        return ask_next(self._operator) is not None

    def _evaluate(self) -> bool:
        """Do one thing. No run that is due waits behind more than one shortfall, nor behind an expansion."""
        if not self._operator.evaluator.available():
            return False
        if self._turns.due() and self._shortfall():
            return True
        if evaluate_next(self._operator) is not None:
            self._turns.ran()
            # It may have cost a worker, and the keys in its memory.
            self._warmer.look_again()
            return True
        return self._shortfall() or self._warmer.warm_next()

    def _shortfall(self) -> bool:
        """Evaluate a shortfall, if one waits and no other thread is at one."""
        return self._turns.one(lambda: evaluate_shortfall(self._operator))


class ShortfallTurns:
    """Counts runs between shortfalls, and lets one thread at a time evaluate one."""

    def __init__(self) -> None:
        """No run was evaluated yet."""
        self._runs = 0
        self._busy = threading.Lock()

    def ran(self) -> None:
        """Say that a run was evaluated."""
        self._runs += 1

    def due(self) -> bool:
        """Return whether so many runs were evaluated that a shortfall comes next."""
        return self._runs >= RUNS_A_SHORTFALL

    def one(self, work: Callable[[], bool]) -> bool:
        """Do `work` unless another thread does; return what it says, or False."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            self._runs = 0
            return work()
        finally:
            self._busy.release()


def keep_claims(operator: Operator) -> None:
    """Renew the claims of this process, and take back runs and shortfalls that are in nobody's hand."""
    owners = operator.claims.owners()
    if owners:
        with operator.store.unit_of_work() as session:
            renew(session, owners, now())
    again = reclaim(operator) + reclaim_shortfalls(operator)
    if again:
        _log.warning("taken back: %s", ", ".join(again))
