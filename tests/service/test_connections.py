"""Connections of a real uvicorn: silent and deaf ones and too many are closed, and what is no HTTP gets a problem."""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from atomic_margin.service.http import lingering, problems
from atomic_margin.service.http.connections import LimitedConnection, limited_protocol, server_settings
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.limits import BodyLimit
from atomic_margin.service.http.tls import Certificate

from .test_tls import made

pytestmark = pytest.mark.long

LIMITS = Limits.parse({"head_seconds": "1", "idle_seconds": "1", "connections_of_a_peer": "4", "connections": "100"})


@contextmanager
def running(app: Any, limits: Limits = LIMITS, tls: Certificate | None = None) -> Iterator[tuple[int, uvicorn.Server]]:
    """Serve an application on a free port, with the settings that `serve` takes."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", **server_settings(limits, tls)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1], server
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@contextmanager
def served(app: Any, limits: Limits = LIMITS, tls: Certificate | None = None) -> Iterator[int]:
    """The same, for who wants to know its port alone."""
    with running(app, limits, tls) as (port, _):
        yield port


def lengths() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.post("/")
    async def take(request: Request) -> dict[str, int]:
        return {"length": len(await request.body())}

    app.add_middleware(BodyLimit, limit_of=lambda _: 1 << 20, idle_seconds=LIMITS.idle_seconds)
    return app


@pytest.fixture
def port() -> Iterator[int]:
    with served(lengths()) as port:
        yield port


def said(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    connection.settimeout(20)
    data = b""
    while part := connection.recv(4096):
        data += part
    return data


@pytest.mark.parametrize("begun", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_connection_without_a_request_is_closed(port: int, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(begun)
        assert said(connection) == b""
    assert httpx.post(f"http://127.0.0.1:{port}/", content=b"x").json() == {"length": 1}


def test_a_kept_connection_that_begins_another_request_and_stops_is_closed(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        time.sleep(0.1)
        connection.sendall(b"POST / HT")
        assert said(connection).count(b"HTTP/1.1 200") == 1


def test_a_body_that_stops_is_a_408_and_ends_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer


def test_too_many_connections_of_a_peer_are_closed_at_once() -> None:
    patient = Limits.parse({**LIMITS.canonical(), "head_seconds": "20"})
    with served(lengths(), patient) as port, contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(4)]
        with socket.create_connection(("127.0.0.1", port)) as one_more:
            began = time.monotonic()
            assert said(one_more) == b""
            assert time.monotonic() - began < 10
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 20
        while True:
            try:
                assert httpx.post(f"http://127.0.0.1:{port}/", content=b"x").status_code == 200
                break
            except httpx.RemoteProtocolError:
                assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (1 << 16) + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["tls", "version", "length", "head", "target"],
)
def test_what_is_no_http_gets_a_problem(port: int, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request_)
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 4"), answer[:100]
    assert b"application/problem+json" in answer


REFUSED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"


def refused_and_sending_on(port: int, more: bytes, pause: float) -> bytes:
    """Announce too long a body, be refused, send some more after a while, and return what arrives."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(REFUSED + bytes(1 << 10))
        for part in (more[:1], more[1:]):
            time.sleep(pause)
            connection.sendall(part)
        return said(connection)


def test_who_is_refused_in_the_middle_of_a_body_reads_why(port: int) -> None:
    answer = refused_and_sending_on(port, bytes(1 << 20), 0.3)
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.endswith(b"}")


def test_who_is_refused_over_tls_reads_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS knows no end of one direction: none is sent, and this ends when its time is over."""
    monkeypatch.setattr(lingering, "LINGER_SECONDS", 3)
    app, raised = lengths(), list[BaseException]()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as error:
            raised.append(error)
            raise

    files = made(tmp_path, "server", datetime.now(timezone.utc))
    trusting = ssl.create_default_context(cafile=str(files.chain))
    with (
        served(watched, tls=files) as port,
        socket.create_connection(("127.0.0.1", port)) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(REFUSED)
        for _ in range(2):
            time.sleep(0.3)
            connection.sendall(bytes(1 << 10))
        began = time.monotonic()
        assert said(connection).endswith(b"}")
        assert time.monotonic() - began < 15
    assert raised == []


def test_who_sends_no_http_and_more_of_it_reads_why(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n")
        for _ in range(2):
            time.sleep(0.3)
            connection.sendall(bytes(1 << 10))
        assert said(connection).endswith(b"}")


def test_who_sends_on_for_too_long_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LINGER_SECONDS", 0.2)
    with pytest.raises(ConnectionError):
        refused_and_sending_on(port, bytes(1 << 10), 0.6)


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(bytes(1 << 10))
        time.sleep(0.01)


def test_who_sends_on_too_much_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LINGER_BYTES", 1 << 14)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(REFUSED)
        with pytest.raises(ConnectionError):
            send_for_ever(connection)
    assert time.monotonic() - began < lingering.LINGER_SECONDS


def test_a_refused_connection_ends_when_the_other_side_ends_it(port: int) -> None:
    """And one whose request was read ends at once."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(REFUSED)
        connection.shutdown(socket.SHUT_WR)
        assert said(connection).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
        assert said(connection).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < lingering.LINGER_SECONDS


LONG = 32 << 20


async def _long(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `/long` with more than the buffers of a connection hold, everything else with a byte."""
    if scope["type"] == "http":
        body = bytes(LONG if scope["path"] == "/long" else 1)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def asking_for_a_long_answer(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connect so often, and ask for the long answer without reading any of it."""
    deaf = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        for connection in deaf:
            connection.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        yield deaf
    finally:
        for connection in deaf:
            connection.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux ends connections by what is taken")
def test_who_never_reads_an_answer_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitedConnection, "_send_seconds", 1)
    with served(_long) as port, asking_for_a_long_answer(port, 4):
        deadline = time.monotonic() + 20
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def test_who_reads_an_answer_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than nothing may be taken for, and never that long at once."""
    monkeypatch.setattr(LimitedConnection, "_send_seconds", 2)
    with served(_long) as port, asking_for_a_long_answer(port, 1) as (connection,):
        began, taken = time.monotonic(), 0
        while taken < LONG and (part := connection.recv(4 << 20, socket.MSG_WAITALL)):
            taken += len(part)
            time.sleep(0.5)
        assert taken >= LONG
        assert time.monotonic() - began > 3


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body", [b"", b"1\r\nx\r\n" * 10_000, b"ZZ\r\n", b"0\r\n\r\n"], ids=["none", "bytes", "bad", "end"]
)
def test_a_body_in_chunks_is_refused_before_anything_reads_it(body: bytes) -> None:
    """Each chunk would be an event of its own on the loop of all, and no head says how many there are."""
    reached = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            reached.append(scope)

    with served(app) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(CHUNKED + body)
        connection.shutdown(socket.SHUT_WR)
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 411 Length Required\r\n")
    assert b"application/problem+json" in answer
    assert b"send Content-Length" in answer
    assert reached == []


def test_a_head_alone_is_refused_without_a_body(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(CHUNKED.replace(b"POST", b"HEAD"))
        connection.shutdown(socket.SHUT_WR)
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 411 Length Required\r\n")
    assert answer.endswith(b"\r\n\r\n")
    # What asyncio says of an error that a protocol raises.
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_who_comes_late_and_is_refused_reads_why() -> None:
    """The time for a head goes on while it is refused, and does not cut the answer off."""
    patient = Limits.parse({**LIMITS.canonical(), "head_seconds": "3"})
    with served(lengths(), patient) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        time.sleep(2)
        connection.sendall(CHUNKED)
        time.sleep(1.5)
        for _ in range(2):
            connection.sendall(bytes(1 << 10))
            time.sleep(0.3)
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 411")
    assert answer.endswith(b"}")


@pytest.mark.parametrize("whole", [False, True])
def test_what_follows_the_last_request_of_a_connection_is_for_nobody(whole: bool) -> None:
    raised = list[BaseException]()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await asyncio.sleep(0.5)
            headers = [(b"content-length", b"2"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"ok"})
        except BaseException as error:
            raised.append(error)
            raise

    last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with served(slow) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        if whole:
            connection.sendall(last + bytes(1 << 10))
        else:
            connection.sendall(last)
            for _ in range(3):
                time.sleep(0.05)
                connection.sendall(bytes(1 << 10))
        assert said(connection).endswith(b"\r\n\r\nok")
    assert raised == []


class _Addressed(asyncio.Transport):
    """A transport of which only the other side's address and whether it was ended are known."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.ended = False

    def abort(self) -> None:
        self.ended = True


def test_addresses_that_one_sender_has_whole_are_one_peer() -> None:
    protocol = limited_protocol(LIMITS)
    config = uvicorn.Config(lengths(), **server_settings(LIMITS))
    config.load()
    loop = asyncio.new_event_loop()

    def ended(address: str) -> bool:
        transport = _Addressed(address)
        protocol(config, ServerState(), {}, loop).take_place(transport)
        return transport.ended

    try:
        taken = [ended(f"2001:db8::{last}") for last in range(1, 6)]
        assert taken == [False] * 4 + [True]
        assert not ended("2001:db8:0:1::1")
    finally:
        loop.close()
