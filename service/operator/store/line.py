"""The line of runs that wait, remembered for a moment: with thousands, finding the next takes longer than taking it.

It is remembered for as many times the length of the look as `SHARE` says, so looking costs a tenth of the time at most
and a short line is as good as never remembered. Whoever takes a run makes sure that it still waits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

SHARE = 10
"""A line is used for so many times the seconds that it took to find it."""


class Line:
    """Names of runs in the order in which they are taken; several threads may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has looked yet."""
        self._clock = clock
        self._lock = threading.Lock()
        self._left: deque[str] = deque()
        self._until = 0.0

    def next(self, look: Callable[[], Sequence[str]]) -> str | None:
        """Return the next name, None if nobody waits. ``look`` returns them all, the next one first."""
        with self._lock:
            started = self._clock()
            if not self._left or started >= self._until:
                self._left = deque(look())
                ended = self._clock()
                self._until = ended + SHARE * (ended - started)
            return self._left.popleft() if self._left else None
