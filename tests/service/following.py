"""An operator served by uvicorn on loopback in this process, and streams read from it."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import uvicorn

from atomic_margin.service.http.event_lines import StreamedEvent, read_events
from atomic_margin.service.http.serving import listen
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.operator.web.live import Live

from .world import World

FOLLOW = {"Accept": "text/event-stream"}
Who = httpx.Auth | dict[str, str] | None
"""Whoever signs its requests, or shows a token, or nobody."""


def shows(who: Who) -> dict[str, Any]:
    """What a request of somebody has besides."""
    return {"auth": who} if isinstance(who, httpx.Auth) else {"headers": who or {}}


def get(url: str, who: Who = None, headers: dict[str, str] | None = None, **parameters: Any) -> httpx.Response:
    """Ask once; the answer ends."""
    named = shows(who)
    return httpx.get(
        url, params=parameters, headers=named.get("headers", {}) | (headers or {}), auth=named.get("auth"), timeout=30
    )


class Served:
    """A running server."""

    def __init__(self, world: World, port: int = 0) -> None:
        self.app = create_app(world.operator, background=False)
        self._socket = listen("127.0.0.1", port)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=5)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([self._socket],), daemon=True)

    @property
    def live(self) -> Live:
        live: Live = self.app.state.live
        return live

    def start(self) -> None:
        self._thread.start()
        wait_for(lambda: self.server.started)

    def stop(self) -> None:
        """Close as a signal does it: the streams end first."""
        self.live.wakes.close()
        self.server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


@contextmanager
def served(world: World, port: int = 0) -> Iterator[Served]:
    """Serve a world; its operator is closed at the end, as by a process that stops."""
    server = Served(world, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Follower:
    """Reads one stream in a thread of its own."""

    def __init__(
        self, url: str, path: str, who: Who = None, headers: dict[str, str] | None = None, **parameters: Any
    ) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        named = shows(who)
        request = self.client.build_request(
            "GET", path, headers=FOLLOW | named.get("headers", {}) | (headers or {}), params=parameters
        )
        self.events: queue.Queue[StreamedEvent | None] = queue.Queue()
        self.response = self.client.send(request, stream=True, auth=named.get("auth"))
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for event in read_events(self.response.iter_lines()):
                self.events.put(event)
        except Exception as error:
            self.error = error
        self.close()
        self.events.put(None)

    def next(self, count: int, seconds: float = 10) -> list[StreamedEvent]:
        """The next events; fails if the stream ends before."""
        found = []
        for _ in range(count):
            event = self.events.get(timeout=seconds)
            assert event is not None, self.error
            found.append(event)
        return found

    def rest(self, seconds: float = 10) -> list[StreamedEvent]:
        """All events until the stream ends."""
        found = []
        while (event := self.events.get(timeout=seconds)) is not None:
            found.append(event)
        return found

    def nothing(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for a moment."""
        time.sleep(seconds)
        return self.events.empty()

    def close(self) -> None:
        # The other thread may be waiting for bytes, and as long as it does a socket that is only closed stays open.
        stream = self.response.extensions.get("network_stream")
        connection = None if stream is None else stream.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.response.close()
        self.client.close()


def wait_for(good: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
