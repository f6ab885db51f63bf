"""Follow the operator's event stream, so that the agent acts when something is entered instead of asking all the time.

Nothing in an event is believed: it says that there is something to read, and the agent reads the entries themselves. A
stream that breaks is opened again from the last number seen, after ever longer times. Institution only.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from atomic_margin.service.errors import RemoteError
from atomic_margin.service.http.event_lines import read_events
from atomic_margin.service.institution.backoff import Backoff, Trouble, retry_after

_log = logging.getLogger(__name__)


class OpenStream:
    """Lines of an open stream, and how to end it from another thread."""

    def __init__(self, lines: Iterator[str], end: Callable[[], None]) -> None:
        """`end` makes whoever waits for the next line go on with an error or the end."""
        self.lines, self.end = lines, end


class EventFollower:
    """The thread that follows."""

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[OpenStream]],
        wake: Callable[[], None],
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            connect: opens the stream after the entry that the agent has followed its account to.
            wake: begins a round.
            backoff: how long to wait before the stream is opened again.
        """
        self._connect, self._wake = connect, wake
        self._backoff = backoff or Backoff()
        self._trouble = Trouble(_log, "the event stream stands again")
        self._stop = threading.Event()
        self._stream: OpenStream | None = None
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self.connected = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End now."""
        self._stop.set()
        stream = self._stream
        if stream is not None:
            stream.end()
        self._thread.join(timeout=5)

    def _work(self) -> None:
        while not self._stop.is_set():
            asked = 0.0
            try:
                self._follow()
            except RemoteError as error:
                if self._stop.is_set():
                    return
                self._trouble.failed(error)
                asked = retry_after(error)
            finally:
                self.connected, self._stream = False, None
            self._stop.wait(self._backoff.next(asked))

    def _follow(self) -> None:
        """Read one stream to its end. The operator ends it now and then, to see who reads."""
        # What was followed meanwhile needs no event; what was seen and not followed yet gets one again.
        with self._connect() as stream:
            self._stream = stream
            self.connected = True
            self._trouble.passed()
            # Something may have been entered between the last round and now.
            self._wake()
            for _ in read_events(stream.lines):
                self._backoff.reset()
                if self._stop.is_set():
                    return
                self._wake()
