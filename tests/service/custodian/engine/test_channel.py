"""Frames: what a channel passes on, and what ends an opening."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from atomic_margin.service.custodian.engine import channel as channels
from atomic_margin.service.custodian.engine.channel import Channel
from atomic_margin.service.custodian.engine.errors import EngineError, EngineStalled, PeerLost, PeerMalformed
from atomic_margin.zk.groups import ORDER

ONE = (1).to_bytes(32, "little")
Play = Callable[[Channel, asyncio.StreamWriter, "asyncio.Future[EngineError]"], Awaitable[None]]


def frame(kind: int, label: int, payload: bytes, size: int | None = None) -> bytes:
    return struct.pack("<BqI", kind, label, len(payload) if size is None else size) + payload


def played(play: Play) -> None:
    """Run ``play`` with a channel of point 7 and the writer at its other end."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        failed: asyncio.Future[EngineError] = asyncio.get_running_loop().create_future()
        channel = Channel(7, *await asyncio.open_connection(sock=ours), failed)
        _, writer = await asyncio.open_connection(sock=theirs)
        try:
            await asyncio.wait_for(play(channel, writer, failed), 5)
        finally:
            writer.close()
            await channel.close()

    asyncio.run(run())


def test_shares_arrive_under_their_label_before_and_after_they_are_asked_for() -> None:
    async def play(channel: Channel, writer: asyncio.StreamWriter, _: object) -> None:
        asked = channel.receive(-5)
        assert isinstance(asked, asyncio.Future)
        assert channel.waits
        writer.write(frame(0, -5, ONE) + frame(0, 6, ONE * 2) + frame(1, 0, b"verdict"))
        assert await asked == ONE
        assert not channel.waits
        assert await channel.verdict == b"verdict"
        assert channel.receive(6) == ONE * 2

    played(play)


@pytest.mark.parametrize(
    "data",
    [
        frame(3, 0, b""),
        frame(0, 1, b"", size=(1 << 20) + 1),
        frame(0, 1, b"", size=0xFFFFFFFF),
        frame(0, 1, b""),
        frame(0, 1, ONE[:-1]),
        frame(0, 1, ORDER.to_bytes(32, "little")),
        frame(0, 1, ONE + b"\xff" * 32),
        frame(0, 1, ONE) * 2,
        frame(2, 0, b"Nothing known"),
        frame(2, 0, b"SystemExit"),
    ],
)
def test_what_is_no_frame_of_shares_ends_it_and_names_who_sent_it(data: bytes) -> None:
    async def play(_: Channel, writer: asyncio.StreamWriter, failed: "asyncio.Future[EngineError]") -> None:
        writer.write(data)
        error = await failed
        assert isinstance(error, PeerMalformed)
        assert error.points == (7,)

    played(play)


def test_the_largest_scalar_is_taken() -> None:
    async def play(channel: Channel, writer: asyncio.StreamWriter, _: object) -> None:
        writer.write(frame(0, 1, (ORDER - 1).to_bytes(32, "little")) + frame(1, 0, b""))
        await channel.verdict
        assert channel.receive(1) == (ORDER - 1).to_bytes(32, "little")

    played(play)


@pytest.mark.parametrize(("name", "limit"), [("MAX_HELD_BYTES", 100), ("MAX_HELD_FRAMES", 3)])
def test_what_nobody_asked_for_is_bounded(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(channels, name, limit)

    async def play(channel: Channel, writer: asyncio.StreamWriter, failed: "asyncio.Future[EngineError]") -> None:
        # What was taken does not count.
        for label in range(10):
            asked = channel.receive(label)
            writer.write(frame(0, label, ONE))
            assert isinstance(asked, asyncio.Future)
            await asked
        writer.write(b"".join(frame(0, label, ONE) for label in range(20, 23)))
        await asyncio.sleep(0.05)
        assert not failed.done()
        assert channel.receive(20) == ONE
        writer.write(b"".join(frame(0, label, ONE) for label in range(30, 32)))
        assert isinstance(await failed, PeerMalformed)

    played(play)


def test_an_end_is_told_with_its_reason_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LINGER_SECONDS", 0.1)

    async def play(_: Channel, writer: asyncio.StreamWriter, failed: "asyncio.Future[EngineError]") -> None:
        writer.write(frame(2, 0, b"EngineStalled 3 4"))
        writer.close()
        error = await failed
        assert isinstance(error, PeerLost)
        assert error.points == (7,)
        assert "(by EngineStalled, points 3 4)" in str(error)

    played(play)


def test_an_end_in_the_middle_of_a_frame_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LINGER_SECONDS", 0.1)

    async def play(_: Channel, writer: asyncio.StreamWriter, failed: "asyncio.Future[EngineError]") -> None:
        writer.write(frame(0, 1, ONE, size=64))
        writer.close()
        assert isinstance(await failed, PeerLost)

    played(play)


def test_what_is_sent_can_be_read() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        failed: asyncio.Future[EngineError] = asyncio.get_running_loop().create_future()
        first = Channel(1, *await asyncio.open_connection(sock=ours), failed)
        second = Channel(2, *await asyncio.open_connection(sock=theirs), failed)
        first.send(9, ONE)
        first.send_end(EngineStalled("", (5,)))
        first.send_verdict(b"{}")
        assert await asyncio.wait_for(second.verdict, 5) == b"{}"
        assert second.receive(9) == ONE
        assert not failed.done()
        await first.close()
        await second.close()

    asyncio.run(run())
