"""Server-sent events: streams that resume, are bounded in number and time, and end at once when the server stops.

A stream has no queue. It keeps its place, and whenever it is woken its source gives what comes next, a page at a time;
so a client that reads slowly costs no memory, loses nothing, and gets nothing twice. One that does not read at all is
dropped. The reader's half is in `event_lines`.
"""

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import anyio
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from atomic_margin.service.errors import MalformedRequest, TooManyStreams

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 10.0
"""Between two comments on a stream that has nothing to say."""
SEND_SECONDS = 20.0
"""After which a client that does not read is dropped; what waits for it then are some 64 kB of the connection."""
STREAM_SECONDS = 900.0
"""After which a stream ends, so that who reads is looked at again; its client goes on where it was."""
RETRY_MILLISECONDS = 2000
"""After which a browser opens a stream again."""

_log = logging.getLogger(__name__)


class Event(NamedTuple):
    """One event.

    Attributes:
        id: where to go on after it; None for one that is no place to go on from.
        name: what it is.
        data: what it says, as JSON.
    """

    id: int | None
    name: str
    data: dict[str, Any]

    def encoded(self) -> ServerSentEvent:
        """Return it as it is sent."""
        data = json.dumps(self.data, sort_keys=True, separators=(",", ":"))
        return ServerSentEvent(data, event=self.name, id=None if self.id is None else str(self.id))


class Source(Protocol):
    """Where one stream's events come from. It keeps the stream's place."""

    @property
    def topic(self) -> str:
        """What wakes the stream."""

    @property
    def over(self) -> bool:
        """Whether nothing comes any more for whoever opened the stream: it ends then."""

    def at_hand(self) -> list[Event] | None:
        """Return what comes next, from memory; None if it has to be read."""

    def read(self) -> list[Event]:
        """Return what comes next, a page of it; may wait for a database."""


class Seats:
    """Streams that may be open at once: of one caller, and of all."""

    def __init__(self, each: int, total: int) -> None:
        """Allow so many."""
        self._each, self._total = each, total
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, caller: str) -> None:
        """Take one.

        Raises:
            TooManyStreams: there is none.
        """
        with self._lock:
            if self._taken[caller] >= self._each:
                raise TooManyStreams(f"{self._each} event streams of this caller are open; close one")
            if self._taken.total() >= self._total:
                raise TooManyStreams("as many event streams are open as there may be; ask again later, or poll")
            self._taken[caller] += 1

    def leave(self, caller: str) -> None:
        """Give one back."""
        with self._lock:
            self._taken[caller] -= 1
            if self._taken[caller] <= 0:
                del self._taken[caller]

    @property
    def taken(self) -> int:
        """How many there are."""
        with self._lock:
            return self._taken.total()


class Wakes:
    """Wakes streams by what they are about, from any thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._streams: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether every stream is to end."""
        return self._closed

    @contextmanager
    def listening(self, topic: str) -> Iterator[asyncio.Event]:
        """Wake the event that this yields for the length of the block."""
        stream = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._streams.setdefault(topic, set()).add(stream)
        try:
            yield stream[1]
        finally:
            with self._lock:
                self._streams[topic].discard(stream)
                if not self._streams[topic]:
                    del self._streams[topic]

    def wake(self, topics: Sequence[str]) -> None:
        """Wake every stream about one of these."""
        with self._lock:
            woken = [stream for topic in topics for stream in self._streams.get(topic, ())]
        _set(woken)

    def close(self) -> None:
        """End every stream, and those that come."""
        with self._lock:
            self._closed = True
            woken = [stream for streams in self._streams.values() for stream in streams]
        _set(woken)


def _set(streams: Sequence[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    for loop, event in streams:
        # A loop that is closed has no stream left to wake.
        if not loop.is_closed():
            loop.call_soon_threadsafe(event.set)


class Stream(EventSourceResponse):
    """One open stream, whose seat was taken before."""

    def __init__(self, source: Source, wakes: Wakes, seats: Seats, caller: str, *, follow: bool) -> None:
        """Stream from a source; without `follow`, end as soon as it has given what there is."""
        self._source, self._wakes, self._seats, self._caller = source, wakes, seats, caller
        self._ending = anyio.Event()
        super().__init__(
            self._events(follow),
            ping=HEARTBEAT_SECONDS,
            ping_message_factory=lambda: ServerSentEvent(comment="alive"),
            send_timeout=SEND_SECONDS,
            shutdown_event=self._ending,
            shutdown_grace_period=2,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the source, the client or the server ends it."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            _log.info("the event stream of %s is dropped: it does not read", self._caller)
        finally:
            self._seats.leave(self._caller)

    async def _events(self, follow: bool) -> AsyncIterator[ServerSentEvent]:
        source, end = self._source, time.monotonic() + STREAM_SECONDS
        with self._wakes.listening(source.topic) as woken:
            yield ServerSentEvent(comment="open", retry=RETRY_MILLISECONDS)
            while not self._wakes.closed and not self._ending.is_set():
                woken.clear()
                events = source.at_hand()
                if events is None:
                    events = await asyncio.to_thread(source.read)
                for event in events:
                    yield event.encoded()
                left = end - time.monotonic()
                if left <= 0 or source.over or not (events or follow):
                    return
                if not events:
                    await self._wait(woken, left)

    async def _wait(self, woken: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.ensure_future(one.wait()) for one in (woken, self._ending)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def place(last_event_id: str | None, after: int | None, first: int) -> int | None:
    """Return after which number a stream goes on: what was seen last, else what was asked for, else None for now.

    Args:
        last_event_id: of the header, which a client sends that was interrupted.
        after: of the query.
        first: the lowest number that can be asked for.

    Raises:
        MalformedRequest: the header is no number.
    """
    if last_event_id is None:
        return after
    text = last_event_id.removeprefix("-")
    if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(last_event_id) < first:
        raise MalformedRequest(f"Last-Event-ID is the id of an event, a whole number from {first}", "Last-Event-ID")
    return int(last_event_id)
