"""Connections of an HTTP face: how many there are, and how long one may be silent, or not read what it is sent.

For `serve`, which hands uvicorn what `server_settings` returns. Uvicorn itself waits for ever for the first line of a
connection and for one who does not read, knows nothing of peers, and closes on one who still sends; all four are added
to its protocol here.
"""

import asyncio
import socket
from collections import Counter
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.lingering import LingeringTransport
from atomic_margin.service.http.problems import MEDIA_TYPE

KEEP_ALIVE_SECONDS = 5
HEAD_BYTES = 1 << 15
BACKLOG = 512
SEND_SECONDS = 20
"""After which a connection ends that takes nothing of what waits for it; one that takes some goes on, however slow."""


def server_settings(limits: Limits) -> dict[str, Any]:
    """Return the arguments of `uvicorn.run` that limits are."""
    return {
        "http": limited_protocol(limits),
        "ws": "none",
        # The gate answers long before; this is for what never reaches it.
        "limit_concurrency": limits.connections + 1,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "h11_max_incomplete_event_size": HEAD_BYTES,
        "backlog": BACKLOG,
    }


def limited_protocol(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's protocol with the limits of one server."""

    class Limited(_Limited):
        _limits = limits
        _peers: ClassVar[Counter[str]] = Counter()

    return Limited


class _Limited(H11Protocol):
    """A connection that is closed if there are too many, or if no request comes in time."""

    _limits: ClassVar[Limits]
    _peers: ClassVar[Counter[str]]
    _send_seconds: ClassVar[float] = SEND_SECONDS
    _patience: asyncio.TimerHandle | None = None
    _peer: str | None = None
    _lingering: LingeringTransport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = self.client[0] if self.client else "unknown"
        limits = self._limits
        if self._peers.total() >= limits.connections or self._peers[peer] >= limits.connections_of_a_peer:
            transport.close()
            return
        self._peer = peer
        self._peers[peer] += 1
        _end_if_nothing_is_taken(transport, self._send_seconds)
        self.transport = self._lingering = LingeringTransport(transport, self.loop, self._is_sent_more)
        self._wait_for_a_head()

    def data_received(self, data: bytes) -> None:
        if self._lingering is None or not self._lingering.drops(data):
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        if self._lingering is not None:
            self._lingering.lost()
        if self._peer is not None:
            self._peers[self._peer] -= 1
            if not self._peers[self._peer]:
                del self._peers[self._peer]
            self._peer = None
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before: Any = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._end_wait()
        elif self._patience is None and _is_over(self.cycle):
            # Some bytes of the next request on a connection that was kept.
            self._wait_for_a_head()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP as everything else that is wrong: with a problem document."""
        body = (
            b'{"type": "urn:atomic-margin:problem:malformed", "title": "The request is no HTTP", "status": 400, '
            b'"detail": "the bytes of the request are not HTTP/1.1"}'
        )
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        reason = b"Bad Request"
        for event in (h11.Response(status_code=400, headers=headers, reason=reason), h11.Data(data=body)):
            self.transport.write(self.conn.send(event))
        self.transport.write(self.conn.send(h11.EndOfMessage()))
        self.transport.close()

    def _is_sent_more(self) -> bool:
        """Return whether a request was begun whose end did not come, or never will, since it is no HTTP."""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _wait_for_a_head(self) -> None:
        self._patience = self.loop.call_later(self._limits.head_seconds, self._give_up)

    def _end_wait(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        self.transport.close()


def _end_if_nothing_is_taken(transport: asyncio.Transport, seconds: float) -> None:
    """Have the system end a connection whose other side takes none of what waits for it, also once it is closed here.

    It alone knows what was taken: what waits here moves on only as large parts of its own buffer become free. Systems
    other than Linux have no such option; a proxy in front does the same for them.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def _is_over(cycle: RequestResponseCycle | None) -> bool:
    return cycle is None or cycle.response_complete
