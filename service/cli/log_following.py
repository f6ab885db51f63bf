"""For `monitor --follow`: threads that read operators' event streams, and say when a log grew.

Nothing in an event is believed. A stream that does not stand, or breaks, is tried again; meanwhile the monitor looks by
itself now and then.
"""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse

from atomic_margin.service.errors import ConfigurationError, MalformedResponse
from atomic_margin.service.http.event_lines import MAX_EVENT_CHARACTERS, read_events

SILENCE_SECONDS = 45
"""After which a stream is taken for broken; an operator says every few seconds that it stands."""
AGAIN_SECONDS = (1, 2, 5, 15, 60)
"""Between tries; the last one stays."""
SOON_SECONDS = (0.5, 1, 2, 4, 8)
"""Until the next look while a log is longer than its newest checkpoint that could be believed; then `every`."""


class LogFollowers:
    """The streams of all operators that one monitor follows."""

    def __init__(self, urls: list[str]) -> None:
        """Begin to follow."""
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._newest = dict.fromkeys(urls, -1)
        self._looks = 0
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ConfigurationError(f"an operator is at an http or https address, got {url[:80]!r}")
            threading.Thread(target=self._follow, args=(url,), name="events", daemon=True).start()

    def wait(self, sizes: dict[str, int], every: float) -> None:
        """Wait until a log grew beyond what was looked at, or for so many seconds.

        Args:
            sizes: by address, how many leaves the monitor has looked at.
            every: the longest time.
        """
        with self._lock:
            behind = any(number >= sizes.get(url, 0) for url, number in self._newest.items())
        self._looks = self._looks + 1 if behind else 0
        # What was appended is looked at once it is in a checkpoint with its cosignatures.
        pause = every
        if behind and self._looks <= len(SOON_SECONDS):
            pause = min(every, SOON_SECONDS[self._looks - 1])
        if self._woken.wait(pause):
            # Several leaves come at once.
            self._looks = 0
            threading.Event().wait(min(every, SOON_SECONDS[0]))
        self._woken.clear()

    def _follow(self, url: str) -> None:
        failures = 0
        while True:
            try:
                for number in _numbers(url):
                    failures = 0
                    with self._lock:
                        self._newest[url] = number
                    self._woken.set()
            except (OSError, HTTPException, ValueError, MalformedResponse):
                # The look that follows says what is wrong, if it is.
                failures += 1
            threading.Event().wait(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)])


def _numbers(url: str) -> Iterator[int]:
    """Yield the numbers of leaves as an operator's stream has them."""
    request = urllib.request.Request(  # noqa: S310  # checked above
        f"{url.rstrip('/')}/v1/events", headers={"Accept": "text/event-stream"}
    )
    with urllib.request.urlopen(request, timeout=SILENCE_SECONDS) as response:  # noqa: S310  # checked above
        for event in read_events(_lines(response)):
            if event.id is not None and event.id.isdigit() and len(event.id) <= 18:
                yield int(event.id)


def _lines(response: HTTPResponse) -> Iterator[str]:
    while line := response.readline(MAX_EVENT_CHARACTERS + 1):
        yield line.decode("utf-8", "replace").rstrip("\r\n")
