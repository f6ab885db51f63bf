"""Bodies of strangers are parsed one at a time, and whoever else asks is answered meanwhile."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from atomic_margin.service.http import strict_json
from atomic_margin.service.http.callers import set_caller
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.outside_json import MAX_COMMAS, MAX_CONTAINERS
from atomic_margin.service.http.strict_json import StrictJson

from .test_connections import served
from .test_gate import Talk, scope_of

BODIES = 16


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def test_bodies_are_parsed_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, one = strict_json.parse_body, threading.Lock()

    def watched(data: bytes) -> Any:
        # Nor on the loop, which all would wait for.
        assert threading.current_thread().name.startswith("json-strangers")
        assert one.acquire(blocking=False), "another body is being parsed"
        try:
            time.sleep(0.02)
            return parse(data)
        finally:
            one.release()

    monkeypatch.setattr(strict_json, "parse_body", watched)

    async def play() -> None:
        app = StrictJson(answer)
        talks = [Talk(app, scope_of("POST", body=True)) for _ in range(BODIES)]
        for talk in talks:
            talk.body(b"[]")
        await asyncio.gather(*(talk.ended() for talk in talks))
        assert [talk.status for talk in talks] == [200] * BODIES

    asyncio.run(play())


def test_bodies_of_two_event_loops_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a test client has one for each request: the second waited for ever where a loop's own lock was taken."""
    parse, asked, go = strict_json.parse_body, threading.Semaphore(0), threading.Event()

    def slow(data: bytes) -> Any:
        asked.release()
        assert go.wait(20)
        return parse(data)

    monkeypatch.setattr(strict_json, "parse_body", slow)
    app = StrictJson(answer)

    async def talk() -> int | None:
        one = Talk(app, scope_of("POST", body=True))
        one.body(b"[]")
        await asyncio.wait_for(one.ended(), 20)
        return one.status

    with ThreadPoolExecutor(2) as others:
        first = others.submit(asyncio.run, talk())
        assert asked.acquire(timeout=20)
        second = others.submit(asyncio.run, talk())
        time.sleep(0.5)
        go.set()
        assert (first.result(30), second.result(30)) == (200, 200)


def test_bodies_of_strangers_come_before_nobody_s_who_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, go = strict_json.parse_body, threading.Event()

    def slow(data: bytes) -> Any:
        if data == b"[]":
            assert go.wait(30)
        return parse(data)

    monkeypatch.setattr(strict_json, "parse_body", slow)

    async def play() -> None:
        app = StrictJson(answer)
        strangers = [Talk(app, scope_of("POST", body=True)) for _ in range(BODIES)]
        for talk in strangers:
            set_caller(talk.scope, "peer/192.0.2.7")
            talk.body(b"[]")
        known = Talk(app, scope_of("POST", body=True))
        set_caller(known.scope, "institution/east")
        known.body(b"{}")
        try:
            await known.ended()
            assert known.status == 200
            assert not any(talk.task.done() for talk in strangers)
        finally:
            go.set()
        await asyncio.gather(*(talk.ended() for talk in strangers))

    asyncio.run(play())


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"[" * 30 + b"]" * 30] * 34_000) + b"]",
        b"[" + b",".join([b"[" * 30 + b"]" * 30] * (MAX_CONTAINERS // 30)) + b"]",
        b"[" + b'"ab",' * (MAX_COMMAS - 1) + b'""]',
    ],
    ids=["too many lists", "lists", "values"],
)
def test_bodies_of_a_stranger_keep_nobody_else_waiting(body: bytes) -> None:
    """Sixteen from one address, each as costly to parse as one may be, kept others waiting for 18 seconds."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await strict(scope, receive, send)

    strict, waited = StrictJson(answer), 0.0
    with served(app, Limits()) as port, ThreadPoolExecutor(BODIES) as others:
        url = f"http://127.0.0.1:{port}/"
        sent = [others.submit(httpx.post, url, content=body, timeout=60) for _ in range(BODIES)]
        while not all(one.done() for one in sent):
            began = time.monotonic()
            httpx.get(url, timeout=60)
            waited = max(waited, time.monotonic() - began)
            time.sleep(0.02)
        assert {one.result().status_code for one in sent} <= {200, 400}
    assert waited < 10
