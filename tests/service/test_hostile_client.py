"""What a client that nobody knows can do to an HTTP face by bytes alone: hold memory, threads and connections."""

import os
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.errors import RequestSignatureInvalid
from atomic_margin.service.http.events import SEND_SECONDS
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.http.pages import COOKIE, PREFIX
from atomic_margin.service.http.signatures import Received, RequestSigner, check
from atomic_margin.service.http.strict_json import StrictJson
from atomic_margin.service.operator.web.app import MAX_DOCUMENT_BYTES
from atomic_margin.service.protocol.signing import Identity

from .test_connections import served
from .world import World

WorldAt = Callable[[str], World]
OPERATOR = "5a" * 32


@pytest.mark.long
def test_a_stranger_s_body_is_not_taken_where_there_is_no_call(world_at: WorldAt) -> None:
    """As much as evaluation keys have, some 89 MB, is read and parsed: 2.6 GB of memory for one request."""
    client = world_at("fall-done").client
    assert client.post("/uploads/x", content=b"[" + b"[]," * MAX_DOCUMENT_BYTES + b"[]]").status_code == 413


def test_parsing_takes_some_times_the_memory_of_the_text() -> None:
    text = b"[" + b",".join([b"[" * 30 + b"]" * 30] * 3400) + b"]"
    tracemalloc.start()
    try:
        parse_json(text)
        assert tracemalloc.get_traced_memory()[1] < 16 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_bodies_of_a_stranger_keep_nobody_else_waiting() -> None:
    """Sixteen bodies that are not too large, from one address, well within its rate: 33 MB in all."""
    body = b"[" + b",".join([b"[" * 30 + b"]" * 30] * 34_000) + b"]"
    assert len(body) < MAX_DOCUMENT_BYTES

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await StrictJson(answer)(scope, receive, send)

    with served(app, Limits()) as port, ThreadPoolExecutor(16) as others:
        url = f"http://127.0.0.1:{port}/"
        sent = [others.submit(httpx.post, url, content=body, timeout=120) for _ in range(16)]
        waited = 0.0
        while not all(one.done() for one in sent):
            began = time.monotonic()
            httpx.get(url, timeout=120)
            waited = max(waited, time.monotonic() - began)
            time.sleep(0.1)
    assert waited < 2


@pytest.mark.slow
def test_who_never_reads_an_answer_is_dropped() -> None:
    """A stream of events is dropped after 20 s; any other answer holds its connection for ever."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            body = bytes(1 << 24 if scope["path"] == "/long" else 1)
            headers = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    with served(app, Limits.parse({"connections_of_a_peer": "4"})) as port:
        deaf = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        try:
            for connection in deaf:
                connection.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(SEND_SECONDS + 10)
            assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
        finally:
            for connection in deaf:
                connection.close()


@pytest.mark.slow
def test_a_witness_closes_connections_without_a_request(tmp_path: Path) -> None:
    """With 300 of them and 256 descriptors it answers nobody, for as long as they are kept."""
    port = free_port()
    arguments = ["witness", "--dir", str(tmp_path / "w"), "--name", "w/1", "--log", f"o/1={'ab' * 32}"]
    command = [sys.executable, "-m", "atomic_margin", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
    try:
        connection = _connected(port)
        with connection:
            connection.sendall(b"GET /healthz HT")
            connection.settimeout(20)
            assert connection.recv(1) == b""
    finally:
        process.terminate()
        process.wait(20)


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.long
@pytest.mark.parametrize(
    ("charset", "token"),
    [("undefined", b"x"), ("punycode", b"_-_"), ("unicode_escape", b"\\ud800"), ("utf-7", b"+2AA-")],
)
def test_a_form_in_an_odd_character_set_is_refused(world_at: WorldAt, charset: str, token: bytes) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n' + token + b"\r\n--b--\r\n"
    response = world_at("fall-done").client.post(
        f"{PREFIX}/sign-in",
        content=form,
        headers={"content-type": f"multipart/form-data; boundary=b; charset={charset}", "cookie": f"{COOKIE}=x"},
    )
    assert 400 <= response.status_code < 500


def test_what_follows_a_number_sign_is_covered_or_refused() -> None:
    """The server takes the last `after`, 5; the signature library sees a fragment and leaves it out."""
    identity = Identity.generate()
    request = httpx.Request("GET", "http://operator.example/v1/institutions/fund/entries?after=0")
    RequestSigner(identity.public_key, identity.sign_request, OPERATOR).sign(request)
    lines = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    with pytest.raises(RequestSignatureInvalid):
        check(Received("GET", f"{request.url}#&after=5", lines), OPERATOR)
