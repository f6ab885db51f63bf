"""Connections of an HTTP face: how many there are, and how long one may be silent, or not read what it is sent.

For `serve`, which hands uvicorn what `server_settings` returns. Uvicorn itself waits for ever for the first line of a
connection and for one who does not read, knows nothing of peers, closes on one who still sends, and takes bodies in
chunks of a byte, each an event of its own on the event loop; all that is mended in its protocol here.
"""

import asyncio
import functools
import json
import socket
from collections import Counter
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.utils import get_remote_addr

from atomic_margin.service.http.handshake import Handshake
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.lingering import LingeringTransport
from atomic_margin.service.http.peers import peer_of
from atomic_margin.service.http.problems import MEDIA_TYPE
from atomic_margin.service.http.tls import Certificate, context_of

KEEP_ALIVE_SECONDS = 5
HEAD_BYTES = 1 << 15
BACKLOG = 512
SEND_SECONDS = 20
"""After which a connection ends that takes nothing of what waits for it; one that takes some goes on, however slow."""


def server_settings(limits: Limits, tls: Certificate | None = None) -> dict[str, Any]:
    """Return the arguments of `uvicorn.run` that limits are; with a certificate it speaks TLS."""
    protocol = limited_protocol(limits)
    return {
        "http": protocol if tls is None else functools.partial(Handshake, context_of(tls), protocol),
        "ws": "none",
        # The gate answers long before; this is for what never reaches it.
        "limit_concurrency": limits.connections + 1,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "h11_max_incomplete_event_size": HEAD_BYTES,
        "backlog": BACKLOG,
    }


def limited_protocol(limits: Limits) -> "type[LimitedConnection]":
    """Return uvicorn's protocol with the limits of one server."""

    class Limited(LimitedConnection):
        limits_of_server = limits
        _peers: ClassVar[Counter[str]] = Counter()

    return Limited


class LimitedConnection(H11Protocol):
    """A connection that is closed if there are too many, or if no request comes in time."""

    limits_of_server: ClassVar[Limits]
    _peers: ClassVar[Counter[str]]
    _send_seconds: ClassVar[float] = SEND_SECONDS
    _patience: asyncio.TimerHandle | None = None
    _peer: str | None = None
    _is_deaf = False
    _lingering: LingeringTransport | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.conn = self._requests = _OfStatedLength(h11.SERVER, HEAD_BYTES)

    def take_place(self, transport: asyncio.Transport) -> bool:
        """Count a connection, or end it: nothing is owed to one too many, and nobody waits for its farewell."""
        peer, limits = peer_of({"client": get_remote_addr(transport)}), self.limits_of_server
        if self._peers.total() >= limits.connections or self._peers[peer] >= limits.connections_of_a_peer:
            transport.abort()
            return False
        self._peer = peer
        self._peers[peer] += 1
        _end_if_nothing_is_taken(transport, self._send_seconds)
        return True

    def leave_place(self) -> None:
        """Count it no more."""
        if self._peer is not None:
            self._peers[self._peer] -= 1
            if not self._peers[self._peer]:
                del self._peers[self._peer]
            self._peer = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, if there is a place."""
        super().connection_made(transport)
        if self._peer is not None or self.take_place(transport):
            self.transport = self._lingering = LingeringTransport(transport, self.loop, self._is_sent_more)
            self._wait_for_a_head()

    def data_received(self, data: bytes) -> None:
        """Take some bytes of requests, or drop them where none is answered any more."""
        if self._lingering is not None and not self._is_deaf and not self._lingering.drops(data):
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make place."""
        self._end_wait()
        if self._lingering is not None:
            self._lingering.lost()
        self.leave_place()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read on, and see whether a request is awaited."""
        before: Any = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._end_wait()
        elif self._patience is None and _is_over(self.cycle):
            # Some bytes of the next request on a connection that was kept.
            self._wait_for_a_head()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP as everything else that is wrong: with a problem document."""
        if not _is_over(self.cycle):
            # It follows the last request of a connection, whose answer is on its way.
            self._is_deaf = True
            return
        if self._requests.length_is_missing:
            status, slug, title = 411, "length-required", "The length of the body is not stated"
            detail = "bodies in chunks are not taken; send Content-Length"
        else:
            status, slug, title = 400, "malformed", "The request is no HTTP"
            detail = "the bytes of the request are not HTTP/1.1"
        problem = {"type": f"urn:atomic-margin:problem:{slug}", "title": title, "status": status, "detail": detail}
        body = json.dumps(problem).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        reason = HTTPStatus(status).phrase.encode()
        self.transport.write(self.conn.send(h11.Response(status_code=status, headers=headers, reason=reason)))
        if not self._requests.asks_for_head:
            self.transport.write(self.conn.send(h11.Data(data=body)))
        self.transport.write(self.conn.send(h11.EndOfMessage()))
        self.transport.close()

    def _is_sent_more(self) -> bool:
        """Return whether a request was begun whose end did not come, or never will, since it is no HTTP."""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _wait_for_a_head(self) -> None:
        self._patience = self.loop.call_later(self.limits_of_server.head_seconds, self._give_up)

    def _end_wait(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        request: Any = self.cycle
        if request is None and self._lingering is not None and not self._lingering.is_closing():
            # Nothing was answered that could still be on its way.
            self._lingering.abort()
        else:
            self.transport.close()


class _OfStatedLength(h11.Connection):
    """A connection whose bodies are as long as their heads say, and not in chunks that no head counts."""

    length_is_missing, asks_for_head = False, False

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request) and any(name == b"transfer-encoding" for name, _ in event.headers):
            self.length_is_missing, self.asks_for_head = True, event.method == b"HEAD"
            raise h11.RemoteProtocolError("a body in chunks", error_status_hint=HTTPStatus.LENGTH_REQUIRED)
        return event


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
