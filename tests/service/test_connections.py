"""Connections of a real uvicorn: silent ones and too many of them are closed, and what is no HTTP gets a problem."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request

from atomic_margin.service.http import problems
from atomic_margin.service.http.connections import server_settings
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.limits import BodyLimit

pytestmark = pytest.mark.long

LIMITS = Limits.parse({"head_seconds": "1", "idle_seconds": "1", "connections_of_a_peer": "4", "connections": "100"})


@contextmanager
def served(app: Any, limits: Limits = LIMITS) -> Iterator[int]:
    """Serve an application on a free port, with the settings that `serve` takes."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", **server_settings(limits)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture
def port() -> Iterator[int]:
    app = FastAPI()
    problems.install(app)

    @app.post("/")
    async def take(request: Request) -> dict[str, int]:
        return {"length": len(await request.body())}

    app.add_middleware(BodyLimit, limit_of=lambda _: 1 << 20, idle_seconds=LIMITS.idle_seconds)
    with served(app) as port:
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
        time.sleep(0.3)
        connection.sendall(b"POST / HT")
        assert said(connection).count(b"HTTP/1.1 200") == 1


def test_a_body_that_stops_is_a_408_and_ends_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer


def test_too_many_connections_of_a_peer_are_closed_at_once(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
    try:
        with socket.create_connection(("127.0.0.1", port)) as one_more:
            began = time.monotonic()
            assert said(one_more) == b""
            assert time.monotonic() - began < 0.9
    finally:
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
