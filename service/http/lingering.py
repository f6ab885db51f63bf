"""How a connection is closed whose request is not read to its end: so that its answer still arrives.

A system that closes a connection with unread bytes, or gets some afterwards, tells the other side to forget what it was
sent: whoever is refused in the middle of a body would see a broken connection and never why. So what still comes is
taken and dropped for a while, as other servers do (``lingering_close`` of nginx; RFC 9112, section 9.6).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 5.0
LINGER_BYTES = 1 << 24
"""Enough for a part of an upload that was on its way; one who sends on and on is cut off."""
FAREWELL_SECONDS = 30.0
"""For what is still to be sent over TLS, and for the other side's own end; of some cases asyncio waits for ever."""


class LingeringTransport(asyncio.Transport):
    """A transport that does not close on one who may be in the middle of sending something."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, sends: Callable[[], bool]
    ) -> None:
        """Stand before a transport.

        Args:
            transport: the real one.
            loop: where it runs.
            sends: whether the other side may be in the middle of something.
        """
        super().__init__()
        self._transport, self._loop, self._sends = transport, loop, sends
        self._end: asyncio.TimerHandle | None = None
        self._closed = False
        self._left = LINGER_BYTES

    def drops(self, data: bytes) -> bool:
        """Return whether what came is for nobody."""
        if not self._closed:
            return False
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()
        return True

    def lost(self) -> None:
        """Wait for nothing more."""
        self._closed = True
        if self._end is not None:
            self._end.cancel()

    def close(self) -> None:
        """Close: at once, or else as soon as the other side does, or has had its time."""
        if self.is_closing():
            return
        self._closed = True
        if not self._sends():
            self._finish()
            return
        self._end = self._loop.call_later(LINGER_SECONDS, self._finish)
        if self._transport.can_write_eof():
            # Whose other side is gone by now has no direction to end.
            with contextlib.suppress(OSError):
                self._transport.write_eof()
        self._transport.resume_reading()

    def _finish(self) -> None:
        self._transport.close()
        if not self._transport.can_write_eof():
            # TLS, closed once: to close it again would let go of what an abort needs.
            self._end = self._loop.call_later(FAREWELL_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether nothing more is read or written."""
        return self._closed or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send some bytes."""
        self._transport.write(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known about the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Take nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes."""
        self._transport.resume_reading()
