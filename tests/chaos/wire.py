"""What lies between an agent and its operator: a proxy that loses, delays, doubles, keeps back and cuts, as it is told.

It forwards one request a connection. What it does with a request is drawn from a seed; each kind is counted, so that a
story can say that it happened. A partition ends what is open, event streams too, and lets nothing through until it is
healed.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

MAX_HEAD_BYTES = 1 << 16
MAX_BODY_BYTES = 256 << 20
MAX_RECORDED = 400
"""Requests that are remembered, to be sent once more later."""
RECORDED_BYTES = 1 << 20
"""Larger ones are not remembered."""


class Fate(Enum):
    """What becomes of a request."""

    PASSED = "passed"
    LOST = "lost before the operator had it"
    ANSWER_LOST = "carried out, and no answer came back"
    ANSWER_CUT = "carried out, and half of the answer came back"
    DELAYED = "late"
    DOUBLED = "sent twice at once"
    AGAIN_LATER = "sent once more when others had come meanwhile"


class Parted(ConnectionError):
    """There is no way at present."""


@dataclass
class Wire:
    """One proxy, in a thread of its own.

    Attributes:
        target: port of the operator.
        choices: of fates.
        shares: of requests that something happens to, by their method.
        fates: what happened, counted by method and fate.
        recorded: POST requests that went through, whole.
    """

    target: int
    choices: random.Random
    shares: dict[str, float] = field(default_factory=dict)
    fates: Counter[tuple[str, Fate]] = field(default_factory=Counter)
    recorded: list[bytes] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._parted, self._silent = False, False
        self._open: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._stopped: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="wire")

    # For stories

    def start(self) -> str:
        """Begin; return the address that stands for the operator's."""
        self._thread.start()
        assert self._started.wait(10)
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End, with all that is open."""
        if self._thread.is_alive():
            assert self._stopped is not None
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(20)
            assert not self._thread.is_alive()
        self._loop.close()

    def part(self, *, silent: bool) -> None:
        """Let nothing through: connections are ended at once, or stay open and nobody answers."""

        def cut() -> None:
            self._parted, self._silent = True, silent
            for task in self._open:
                task.cancel()

        self._loop.call_soon_threadsafe(cut)

    def heal(self) -> None:
        """Let everything through again; what waited in silence is over."""

        def join() -> None:
            self._parted = self._silent = False
            for task in self._open:
                task.cancel()

        self._loop.call_soon_threadsafe(join)

    @contextmanager
    def parted(self, *, silent: bool) -> Iterator[None]:
        """Part both sides for the length of the block."""
        self.part(silent=silent)
        try:
            yield
        finally:
            self.heal()

    # In the thread

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        async with server:
            await self._stopped.wait()
        for task in [*self._open]:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._request(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError, asyncio.LimitOverrunError):
            # Either side went away, or the wire was cut: all that the other side sees is a closed connection.
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._parted:
            if self._silent:
                await asyncio.Event().wait()
            raise Parted
        method, request = await _read_request(reader)
        fate = self._fate(method, request)
        self.fates[method, fate] += 1
        if fate is Fate.LOST:
            return
        if fate is Fate.DELAYED:
            await asyncio.sleep(self.choices.uniform(0.05, 2.5))
        # What is read is far more, and there would be no room.
        wanted = request.startswith(b"POST") and len(request) <= RECORDED_BYTES
        if wanted and len(self.recorded) < MAX_RECORDED:
            self.recorded.append(request)
        if fate is Fate.DOUBLED:
            both = await asyncio.gather(self._answer(request), self._answer(request))
            # Whoever sent it may see either answer.
            writer.write(self.choices.choice(both))
        elif fate in (Fate.ANSWER_LOST, Fate.ANSWER_CUT):
            answer = await self._answer(request)
            writer.write(b"" if fate is Fate.ANSWER_LOST else answer[: len(answer) // 2])
        else:
            if fate is Fate.AGAIN_LATER:
                later = asyncio.get_running_loop().create_task(self._later(request))
                self._open.add(later)
                later.add_done_callback(self._open.discard)
            await self._through(request, writer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _fate(self, method: str, request: bytes) -> Fate:
        # A stream is cut by partitions; it never ends, so that nothing else can happen to it.
        stream = b"/events" in request.split(b"\r\n", 1)[0]
        if stream or self.choices.random() >= self.shares.get(method, 0.0):
            return Fate.PASSED
        return self.choices.choice([fate for fate in Fate if fate is not Fate.PASSED])

    async def _later(self, request: bytes) -> None:
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await asyncio.sleep(self.choices.uniform(0.5, 5))
            await self._answer(request)

    async def _answer(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read()
        finally:
            writer.transport.abort()

    async def _through(self, request: bytes, client: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            writer.write(request)
            await writer.drain()
            while data := await reader.read(1 << 16):
                client.write(data)
                await client.drain()
        finally:
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Return the method and the whole request, which asks for its connection to be closed."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    kept, length = [first], 0
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
        if name.strip().lower() != b"connection":
            kept.append(line)
    assert length <= MAX_BODY_BYTES
    body = await reader.readexactly(length)
    return first.split(b" ")[0].decode(), b"\r\n".join([*kept, b"Connection: close", b"", b""]) + body


def send_again(target: int, request: bytes) -> int:
    """Send a recorded request to the operator once more; return the status of the answer, 0 for none."""
    import socket

    with socket.create_connection(("127.0.0.1", target), 30) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(1 << 16):
            answer += data
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0
