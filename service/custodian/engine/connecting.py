"""Who listens, who dials, who is refused. Of two custodians the one with the higher point dials.

A connection counts once TLS has verified both certificates, both are of the policy's identities and for this task, and
both sides have said so by sending `GREETING`. Whoever dials in without that is dropped: strangers end no opening. A
custodian that shows its identity and another task does, at once and by name.
"""

import asyncio
import ssl
from collections.abc import Iterable

from atomic_margin.service.custodian.engine.channel import LINGER_SECONDS, Channel
from atomic_margin.service.custodian.engine.credentials import Credentials, context, issuer, require_peer
from atomic_margin.service.custodian.engine.errors import (
    EngineError,
    EngineTaskInvalid,
    IdentityRefused,
    PeerError,
    PeerMalformed,
)
from atomic_margin.service.custodian.engine.task import EngineTask, Present

GREETING = b"amengin1"
HANDSHAKE_SECONDS = 10.0
RETRY_SECONDS = 0.05
MAX_GREETING = 32
"""Connections that may be between handshake and greeting at once."""


class Meeting:
    """The connections of one process to all others that are present.

    Attributes:
        channels: those there are, by point.
        notes: what went wrong last with a point that has none.
        refused: how many that dialled in were dropped.
    """

    def __init__(self, task: EngineTask, credentials: Credentials, failed: "asyncio.Future[EngineError]") -> None:
        self.channels: dict[int, Channel] = {}
        self.notes: dict[int, str] = {}
        self.refused = 0
        self._task, self._credentials, self._failed = task, credentials, failed
        self._all = asyncio.Event()
        self._greeting = 0
        self._server: asyncio.AbstractServer | None = None
        self._dialled = [one for one in task.present if one.point < task.point]
        self._dialling = [one for one in task.present if one.point > task.point]

    @property
    def missing(self) -> tuple[int, ...]:
        """Points that are not connected."""
        others = (one.point for one in self._task.present if one.point != self._task.point)
        return tuple(point for point in others if point not in self.channels)

    async def connect(self) -> None:
        """Return once all are connected.

        Raises:
            EngineTaskInvalid: this custodian's own address cannot be listened on.
            IdentityRefused: who listens at a custodian's address does not have its key.
            TaskDiffers: a custodian is engaged in another task.
            PeerMalformed: one greets as nobody does.
        """
        if self._dialling:
            await self._listen()
        await asyncio.gather(*(self._dial(one) for one in self._dialled))
        await self._all.wait()

    async def close(self, error: EngineError | None = None) -> None:
        """Listen no more, and close every connection; ``error`` is why, if there is no verdict."""
        if self.missing and isinstance(error, PeerError):
            # Those that are about to dial would otherwise not hear why nobody answers.
            await asyncio.sleep(LINGER_SECONDS)
        if self._server is not None:
            self._server.close()
        if error is not None:
            for channel in self.channels.values():
                channel.send_end(error)
        await asyncio.gather(*(channel.close() for channel in self.channels.values()))

    async def _listen(self) -> None:
        own = self._task.present[self._task.index]
        try:
            self._server = await asyncio.start_server(
                self._accept,
                own.host,
                own.port,
                ssl=self._context(self._dialling, server=True),
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError as error:
            raise EngineTaskInvalid(
                f"present: {own.host}:{own.port} cannot be listened on ({error.strerror}): end what has the port, or "
                "name another one to all",
                (own.point,),
            ) from None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._greeting += 1
        try:
            point = await self._admit(reader, writer)
        except (IdentityRefused, OSError, EOFError, asyncio.TimeoutError):
            self.refused += 1
            writer.transport.abort()
        except EngineError as error:
            writer.transport.abort()
            if not self._failed.done():
                self._failed.set_result(error)
        else:
            self._add(point, reader, writer)
        finally:
            self._greeting -= 1

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        if self._greeting > MAX_GREETING:
            raise IdentityRefused("too many dial in at once")
        shown = _shown(writer)
        found = [one for one in self._dialling if one.identity == issuer(shown)]
        if not found or found[0].point in self.channels:
            raise IdentityRefused("nobody that is still expected")
        require_peer(shown, found[0].identity, self._task.hash, found[0].point)
        await _greet(reader, writer, found[0].point)
        return found[0].point

    async def _dial(self, peer: Present) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    peer.host,
                    peer.port,
                    ssl=self._context([peer], server=False),
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                )
            except ssl.SSLCertVerificationError:
                raise IdentityRefused(
                    f"who answers at {peer.host}:{peer.port} has no certificate by the identity of point {peer.point}: "
                    "ask that custodian which key and address it has",
                    (peer.point,),
                ) from None
            except (OSError, asyncio.TimeoutError):
                self.notes.setdefault(peer.point, "does not answer")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                require_peer(_shown(writer), peer.identity, self._task.hash, peer.point)
                await _greet(reader, writer, peer.point)
            except EngineError:
                writer.transport.abort()
                raise
            except (OSError, EOFError, asyncio.TimeoutError):
                # An older process that is about to end, or one that does not take this custodian's certificate.
                self.notes[peer.point] = "hangs up on this custodian's certificate"
                writer.transport.abort()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._add(peer.point, reader, writer)
            return

    def _add(self, point: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if point in self.channels:
            writer.transport.abort()
            return
        self.channels[point] = Channel(point, reader, writer, self._failed)
        if not self.missing:
            self._all.set()

    def _context(self, peers: Iterable[Present], server: bool) -> ssl.SSLContext:
        return context(self._credentials, (one.identity for one in peers), server)


def _shown(writer: asyncio.StreamWriter) -> bytes | None:
    connection = writer.get_extra_info("ssl_object")
    shown: bytes | None = None if connection is None else connection.getpeercert(binary_form=True)
    return shown


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, point: int) -> None:
    writer.write(GREETING)
    if await asyncio.wait_for(reader.readexactly(len(GREETING)), HANDSHAKE_SECONDS) != GREETING:
        raise PeerMalformed(
            f"the custodian at point {point} greets as none of this version does: compare versions", (point,)
        )
