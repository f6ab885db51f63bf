"""The time that documents are dated by: the machine's clock without its jumps. For `fields.now_text` and the operator.

A clock that is set forward by two hours must not end every time to answer at once, and one that is set back must not
date what follows before what came first. So time runs on by the clock that only counts (`CLOCK_BOOTTIME`), and nears
the machine's by at most `SLEW` of what passes: small corrections are followed within minutes, a jump hardly. Jumps are
counted for whoever gives alarm; a restart takes the machine's clock as it is, but for what `not_before` says.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

SLEW = 0.02
"""By how much a second of this time may be longer or shorter than a second."""
JUMP_SECONDS = 5.0
"""A machine's clock that moves against the counting one by more is set by somebody, not corrected."""


def _count() -> float:
    # What a suspended machine missed counts; where there is no such clock, nothing suspends a server.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SteadyClock:
    """Time that never runs backwards; safe to use from several threads.

    >>> seconds, wall = iter([0, 10, 20]), iter([1000, 8210, 8220])
    >>> clock = SteadyClock(lambda: next(wall), lambda: next(seconds))
    >>> clock.now().timestamp(), clock.now().timestamp(), clock.jumps
    (1010.2, 1020.4, 1)
    """

    def __init__(self, wall: Callable[[], float] = time.time, count: Callable[[], float] = _count) -> None:
        """Begin at the machine's time; `wall` is that, in seconds of the epoch, and `count` what only counts."""
        self._wall, self._count = wall, count
        self._lock = threading.Lock()
        self._counted, self._shown = count(), wall()
        self._difference = self._shown - self._counted
        self.jumps = 0
        """How often the machine's clock was set so far."""
        self.last_jump = 0.0
        """By how many seconds it was last; forward, if it is above 0."""

    def now(self) -> datetime:
        """Return the present time in UTC."""
        with self._lock:
            return _instant(self._advance())

    def offset_seconds(self) -> float:
        """Return by how much the machine's clock is before this one now."""
        with self._lock:
            shown = self._advance()
            return self._counted + self._difference - shown

    def not_before(self, instant: datetime) -> float:
        """Go on from an instant that was stored, if that is later than now; return by how many seconds it is."""
        with self._lock:
            behind = instant.timestamp() - self._advance()
            self._shown += max(0.0, behind)
            return max(0.0, behind)

    def _advance(self) -> float:
        counted, wall = self._count(), self._wall()
        passed = max(0.0, counted - self._counted)
        difference = wall - counted
        if abs(difference - self._difference) > JUMP_SECONDS:
            self.jumps += 1
            self.last_jump = difference - self._difference
        self._counted, self._difference = counted, difference
        missing = wall - (self._shown + passed)
        self._shown += passed + max(-SLEW * passed, min(SLEW * passed, missing))
        return self._shown


def _instant(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)


CLOCK = SteadyClock()
"""Of this process."""
