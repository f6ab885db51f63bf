"""How long the agent waits after a failure, and what it says about it: a line when it begins, changes or ends.

Institution only.

>>> backoff = Backoff(first=1, bound=60, uniform=lambda low, high: high)
>>> [backoff.next() for _ in range(8)]
[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
>>> backoff.next(at_least=90.0)
90.0
"""

import logging
import random
import re
from collections.abc import Callable

from atomic_margin.service.errors import RemoteError

FIRST_SECONDS = 0.5
BOUND_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 600.0
"""What the operator may ask for at most by Retry-After; a run has a deadline."""

_RANDOM = random.SystemRandom()
_NUMBERS = re.compile(r"\d+")
_SECONDS = re.compile(r"-?\d+ s\b")


class Backoff:
    """Times to wait, each twice the one before up to a bound, and drawn from its upper half.

    The draw keeps many agents from coming back at one moment.
    """

    def __init__(
        self,
        first: float = FIRST_SECONDS,
        bound: float = BOUND_SECONDS,
        uniform: Callable[[float, float], float] = _RANDOM.uniform,
    ) -> None:
        """Begin with up to `first` seconds, and end with up to `bound`."""
        self._first, self._bound, self._uniform = float(first), float(bound), uniform
        self._next = self._first

    def next(self, at_least: float = 0.0) -> float:
        """Return how many seconds to wait now, at least what the other side asked for."""
        most, self._next = self._next, min(2 * self._next, self._bound)
        return max(self._uniform(most / 2, most), min(at_least, MAX_RETRY_AFTER_SECONDS))

    def reset(self) -> None:
        """Begin anew: it went through."""
        self._next = self._first


def retry_after(error: Exception) -> float:
    """Return the seconds that the other side asked to wait, 0 if it asked for none."""
    return error.retry_after if isinstance(error, RemoteError) else 0.0


class Trouble:
    """What goes wrong for a while, said once."""

    def __init__(self, log: logging.Logger, over: str) -> None:
        """`over` is what is said at its end."""
        self._log, self._over = log, over
        self._kind: str | None = None
        self.shown: str | None = None

    def failed(self, error: Exception) -> None:
        """Say what failed, unless that is what failed before: numbers in it may differ."""
        self.shown = f"{type(error).__name__}: {error}"
        kind = _NUMBERS.sub("#", self.shown)
        if kind != self._kind:
            self._log.warning("%s; trying again", self.shown)
            self._log.debug("it came from", exc_info=error)
        self._kind = kind

    def passed(self) -> None:
        """Say that it is over, if there was something."""
        if self._kind is not None:
            self._log.info("%s", self._over)
        self._kind = self.shown = None


class SaidOnce:
    """Lines that every round would say again: each is said when it changes, numbers that count time aside."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._last: dict[str, str] = {}

    def info(self, log: logging.Logger, what: str, reason: str) -> None:
        """Say something that will pass."""
        if self._is_new(what, reason):
            log.info("%s: %s", what, reason)

    def error(self, log: logging.Logger, what: str, reason: str) -> None:
        """Say something that somebody has to see to."""
        if self._is_new(what, reason):
            log.error("%s: %s", what, reason)

    def _is_new(self, what: str, reason: str) -> bool:
        kind = _SECONDS.sub("# s", reason)
        is_new, self._last[what] = self._last.get(what) != kind, kind
        return is_new
