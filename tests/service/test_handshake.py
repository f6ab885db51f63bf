"""Connections of a server that speaks TLS: counted and limited in time before, while and after they shake hands."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from atomic_margin.service.http import lingering
from atomic_margin.service.http.refusals import Refusal
from atomic_margin.service.http.tls import Certificate

from .test_connections import LIMITS, lengths, running, said
from .test_tls import made

pytestmark = pytest.mark.long

PLACES = int(LIMITS.connections_of_a_peer)
REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return made(tmp_path_factory.mktemp("tls"), "server", datetime.now(timezone.utc))


@pytest.fixture
def serving(files: Certificate) -> Iterator[tuple[int, uvicorn.Server]]:
    with running(lengths(), tls=files) as found:
        yield found


def context(files: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files.chain))


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def eventually_answers(port: int, files: Certificate) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            answer = httpx.post(f"https://127.0.0.1:{port}/", content=b"x", verify=context(files))
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            assert answer.json() == {"length": 1}
            return


def emptied(server: uvicorn.Server, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while server.server_state.connections:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_says_nothing_is_counted_and_ended(serving: tuple[int, uvicorn.Server], files: Certificate) -> None:
    port, server = serving
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(PLACES)]
        # One too many is ended, whatever it would have said; and the others in their time.
        assert said(stack.enter_context(connected(port))) == b""
        assert [said(one) for one in silent] == [b""] * PLACES
        eventually_answers(port, files)
    emptied(server, 20)


def test_who_has_shaken_hands_and_says_nothing_more_is_ended(
    serving: tuple[int, uvicorn.Server], files: Certificate
) -> None:
    """Without waiting for a farewell, which asyncio does for half a minute."""
    port, server = serving
    with connected(port) as plain, context(files).wrap_socket(plain, server_hostname="127.0.0.1"):
        while not server.server_state.connections:
            time.sleep(0.01)
        emptied(server, 15)
    eventually_answers(port, files)


def test_who_speaks_no_tls_is_ended_and_makes_place(serving: tuple[int, uvicorn.Server], files: Certificate) -> None:
    port, server = serving
    for _ in range(3 * PLACES):
        with connected(port) as plain:
            plain.sendall(REQUEST)
            with contextlib.suppress(ConnectionError):
                assert not said(plain).startswith(b"HTTP")
        emptied(server, 20)
    eventually_answers(port, files)


def test_who_leaves_while_it_shakes_hands_makes_place(
    serving: tuple[int, uvicorn.Server], files: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    port, server = serving
    for _ in range(3 * PLACES):
        _, outgoing, client = _client(files)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        with connected(port) as plain:
            plain.sendall(outgoing.read())
            assert plain.recv(1)
        emptied(server, 20)
    eventually_answers(port, files)
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def _client(files: Certificate) -> tuple[ssl.MemoryBIO, ssl.MemoryBIO, ssl.SSLObject]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return incoming, outgoing, context(files).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")


def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(
    serving: tuple[int, uvicorn.Server], files: Certificate
) -> None:
    port, _ = serving
    incoming, outgoing, client = _client(files)
    with connected(port) as plain:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(1 << 16))
        client.write(REQUEST)
        # Both in one piece.
        plain.sendall(outgoing.read())
        answer = b""
        while not answer.endswith(b"}"):
            try:
                answer += client.read(1 << 16)
            except ssl.SSLWantReadError:
                more = plain.recv(1 << 16)
                assert more
                incoming.write(more)
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_server_that_is_told_to_stop_waits_for_no_handshake(files: Certificate) -> None:
    with running(lengths(), tls=files) as (port, server), connected(port) as silent:
        while not server.server_state.connections:
            time.sleep(0.01)
        server.should_exit = True
        assert said(silent) == b""
        emptied(server, 20)


class Slow:
    """Refuses after a while, and ends the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(0.5)
            await Refusal(413, "too-large", "It is too large", "less", close=True).send(scope, send)


@pytest.mark.parametrize("more", [b"", b"y"], ids=["the request", "and more"])
def test_who_is_gone_when_it_is_refused_makes_place(
    files: Certificate, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    """With reading paused by what follows the request, asyncio neither read nor wrote there any more, nor ended it."""
    monkeypatch.setattr(lingering, "FAREWELL_SECONDS", 1)
    with (
        running(Slow(), tls=files) as (port, server),
        connected(port) as plain,
        context(files).wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(REQUEST.replace(b"Connection: close\r\n", b"") + more)
        client.shutdown(socket.SHUT_WR)
        while not server.server_state.tasks:
            time.sleep(0.01)
        emptied(server, 20)


def test_who_is_answered_and_says_no_farewell_makes_place(files: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "FAREWELL_SECONDS", 1)
    with (
        running(lengths(), tls=files) as (port, server),
        connected(port) as plain,
        context(files).wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(REQUEST)
        assert client.recv(1) == b"H"
        emptied(server, 20)
