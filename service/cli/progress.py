"""Progress of what takes long, for the benches: a line that changes on a terminal, a line now and then elsewhere.

Where there is no terminal (a file, CI), what is going on is said when it changes, at most every `APART` seconds, and
once more after `AT_LEAST` seconds in which nothing changed: silence means that the process is gone.
"""

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.status import Status

APART, AT_LEAST = 1.0, 30.0


class Progress:
    """Says what is going on, until the end of the block."""

    def __init__(self, console: Console, apart: float = APART, at_least: float = AT_LEAST) -> None:
        """Say it on ``console``."""
        self._console, self._apart, self._at_least = console, apart, at_least
        self._status: Status | None = None
        self._lock = threading.Lock()
        self._begun = self._told_at = time.monotonic()
        self._what, self._told = "", ""
        self._over = threading.Event()
        self._clock: threading.Thread | None = None

    def __enter__(self) -> "Progress":
        self._begun = self._told_at = time.monotonic()
        if self._console.is_terminal:
            self._status = Status("", console=self._console)
            self._status.start()
        self._clock = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._clock is not None:
            self._clock.join()
        if self._status is not None:
            self._status.stop()
            self._status = None
        elif self._what != self._told:
            self._tell(self._what)

    def say(self, what: str) -> None:
        """Say what is going on now."""
        with self._lock:
            self._what = what
            if self._status is not None:
                self._status.update(self._line(what))
            elif what != self._told and (not self._told or time.monotonic() - self._told_at >= self._apart):
                self._tell(what)

    def _watch(self) -> None:
        while not self._over.wait(min(self._apart, 0.5)):
            with self._lock:
                if self._status is not None:
                    self._status.update(self._line(self._what))
                    continue
                since = time.monotonic() - self._told_at
                changed = self._what != self._told and since >= self._apart
                if self._what and (changed or since >= self._at_least):
                    self._tell(self._what)

    def _tell(self, what: str) -> None:
        self._told, self._told_at = what, time.monotonic()
        self._console.print(self._line(what), soft_wrap=True, markup=False, highlight=False)

    def _line(self, what: str) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        return f"{minutes}:{seconds:02d} {what}"
