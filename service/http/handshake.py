"""TLS of a server's connections, begun within its limits: who connects is counted before showing that it speaks TLS.

A server of asyncio tells a protocol of a connection once its handshake is over. Until then nobody would count it, and
one that says nothing would hold 256 KiB for a minute.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atomic_margin.service.http.connections import LimitedConnection


class Handshake(asyncio.Protocol):
    """A connection until its handshake is over; then it is that of the protocol behind."""

    def __init__(self, context: ssl.SSLContext, protocol: "Callable[..., LimitedConnection]", **settings: Any) -> None:
        """Stand before one connection.

        Args:
            context: the server's certificate.
            protocol: makes what takes the connection then.
            settings: what uvicorn makes a protocol of.
        """
        self._context, self._behind = context, protocol(**settings)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and begin."""
        if not self._behind.take_place(transport):
            return
        self._transport = transport
        # So that a server that is told to stop ends it too.
        self._behind.connections.add(self)  # type: ignore[arg-type]
        self._task = self._behind.loop.create_task(self._shake_hands(transport))

    def shutdown(self) -> None:
        """End it: the server stops."""
        if self._transport is not None:
            self._transport.abort()

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        early, behind = _Early(), self._behind
        secure: asyncio.Transport | None = None
        try:
            secure = await behind.loop.start_tls(
                transport,
                early,
                self._context,
                server_side=True,
                ssl_handshake_timeout=behind.limits_of_server.head_seconds,
            )
        except OSError:
            # It speaks no TLS, or none of ours, is gone, or took too long: there is nothing to tell it.
            return
        finally:
            behind.connections.discard(self)
            if secure is None:
                behind.leave_place()
                transport.abort()
        if secure is not None:
            secure.set_protocol(behind)
            behind.connection_made(secure)
            if early.data:
                behind.data_received(bytes(early.data))


class _Early(asyncio.Protocol):
    """What came with the end of a handshake, before there was a protocol for it."""

    def __init__(self) -> None:
        self.data = bytearray()

    def data_received(self, data: bytes) -> None:
        self.data += data
