"""Frames between the processes of two custodians, inside TLS and within bounds. It is what MPyC sends and receives by.

    frame      kind, 1 byte | label, 8 bytes with sign | size, 4 bytes | so many bytes; little-endian
    kind 0     shares under MPyC's program counter: scalars below r of 32 bytes each
    kind 1     the verdict that the sender arrived at; nothing follows
    kind 2     the sender ends without one: name of its error, then the points it is about; nothing follows

A frame is refused by its head, before it is read, and nothing but scalars in their one spelling reaches MPyC.
"""

import asyncio
import re
import struct

from atomic_margin.service.custodian.engine.errors import NAMED, EngineError, PeerLost, PeerMalformed
from atomic_margin.zk.groups import ORDER, SCALAR_BYTES

SHARES, VERDICT, END = range(3)
LINGER_SECONDS = 1.0
"""Between a peer's end and what it makes of this process: what ended the peer may end this one by itself meanwhile."""
MAX_FRAME_BYTES = 1 << 20
MAX_HELD_BYTES = 1 << 26
"""What one peer may send before it is asked for; all of an opening of the largest task is less."""
MAX_HELD_FRAMES = 1 << 14
_HEAD = struct.Struct("<BqI")
_END = re.compile(rb"([A-Za-z]{1,40})((?: [0-9]{1,5}){0,16})")


class Channel:
    """One other custodian's process. The first thing that goes wrong is the result of ``failed``, which all share."""

    def __init__(
        self,
        point: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        failed: "asyncio.Future[EngineError]",
    ) -> None:
        """Start to read."""
        self.point, self.nbytes_sent = point, 0
        self.verdict: asyncio.Future[bytes] = failed.get_loop().create_future()
        self._reader, self._writer, self._failed = reader, writer, failed
        self._held: dict[int, bytes] = {}
        self._held_bytes = 0
        self._awaited: dict[int, asyncio.Future[bytes]] = {}
        self._reason = ""
        self._pump = failed.get_loop().create_task(self._read())

    @property
    def waits(self) -> bool:
        """Whether something of this peer is asked for and not there."""
        return bool(self._awaited)

    def send(self, label: int, payload: bytes) -> None:
        """Send shares; MPyC calls it."""
        self._send(SHARES, label, payload)

    def send_verdict(self, payload: bytes) -> None:
        """Send what this process arrived at."""
        self._send(VERDICT, 0, payload)

    def send_end(self, error: EngineError) -> None:
        """Say why this process ends without a verdict, for the others' messages."""
        self._send(END, 0, " ".join([type(error).__name__, *map(str, error.points)]).encode())

    def receive(self, label: int) -> "bytes | asyncio.Future[bytes]":
        """Return the shares under a label, or a future of them; MPyC calls it."""
        payload = self._held.pop(label, None)
        if payload is not None:
            self._held_bytes -= len(payload)
            return payload
        future = self._failed.get_loop().create_future()
        self._awaited[label] = future
        return future

    async def close(self) -> None:
        """Send what is still to be sent, and close."""
        self._pump.cancel()
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 1)
        except (OSError, asyncio.TimeoutError):
            # The other side is gone, or does not read: there is nothing left to say to it.
            self._writer.transport.abort()

    def _send(self, kind: int, label: int, payload: bytes) -> None:
        self._writer.write(_HEAD.pack(kind, label, len(payload)) + payload)
        self.nbytes_sent += _HEAD.size + len(payload)

    async def _read(self) -> None:
        try:
            while not self.verdict.done():
                kind, label, size = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                if kind not in (SHARES, VERDICT, END) or size > MAX_FRAME_BYTES:
                    raise self._malformed("a frame of an unknown kind, or beyond the largest size")
                self._take(kind, label, await self._reader.readexactly(size))
        except EngineError as error:
            self._fail(error)
        except (OSError, EOFError):
            lost = PeerLost(
                f"the custodian at point {self.point} ended before the computation did{self._reason}: ask it why, and "
                "open again",
                (self.point,),
            )
            self._failed.get_loop().call_later(LINGER_SECONDS, self._fail, lost)

    def _take(self, kind: int, label: int, payload: bytes) -> None:
        if kind == VERDICT:
            self.verdict.set_result(payload)
            return
        if kind == END:
            end = _END.fullmatch(payload)
            if end is None or end[1].decode() not in NAMED:
                raise self._malformed("an end without a reason")
            about = f", points{end[2].decode()}" if end[2] else ""
            self._reason = f" (by {end[1].decode()}{about})"
            return
        if not payload or len(payload) % SCALAR_BYTES:
            raise self._malformed("something else than scalars")
        for start in range(0, len(payload), SCALAR_BYTES):
            if int.from_bytes(payload[start : start + SCALAR_BYTES], "little") >= ORDER:
                raise self._malformed("a scalar that is not below the group order")
        awaited = self._awaited.pop(label, None)
        if awaited is not None:
            if not awaited.done():
                awaited.set_result(payload)
            return
        if label in self._held:
            raise self._malformed("one label twice")
        self._held[label] = payload
        self._held_bytes += len(payload)
        if self._held_bytes > MAX_HELD_BYTES or len(self._held) > MAX_HELD_FRAMES:
            raise self._malformed("more than was asked for")

    def _malformed(self, what: str) -> PeerMalformed:
        return PeerMalformed(
            f"the custodian at point {self.point} sent {what}: leave it out, and open with others", (self.point,)
        )

    def _fail(self, error: EngineError) -> None:
        if not self._failed.done():
            self._failed.set_result(error)
