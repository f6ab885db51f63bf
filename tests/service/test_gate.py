"""Requests that are too many, too slow or nobody's business: ended early, with a problem document."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message, Receive, Scope, Send

from atomic_margin.service.http.gate import PIECE_BYTES, Gate
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.limits import BodyLimit
from atomic_margin.service.http.peers import peer_of
from atomic_margin.service.http.rates import Buckets
from atomic_margin.service.http.refusals import Refusal

from .documents import FUND
from .world import World

WorldAt = Callable[[str], World]
PROBLEM = "application/problem+json"


def scope_of(method: str = "GET", path: str = "/", peer: str = "192.0.2.7", body: bool = False) -> Scope:
    headers = [(b"content-length", b"5")] if body else []
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "headers": headers,
        "client": (peer, 5000),
    }


class Talk:
    """One request by hand: what is received, and what was sent."""

    def __init__(self, app: Any, scope: Scope) -> None:
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.scope = scope
        self.task = asyncio.ensure_future(app(scope, self.inbox.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def body(self, data: bytes, more: bool = False) -> None:
        self.inbox.put_nowait({"type": "http.request", "body": data, "more_body": more})

    async def ended(self) -> None:
        """Wait for the end; what was let in by mistake would wait for its body for ever."""
        await asyncio.wait_for(self.task, 20)

    async def begun(self) -> None:
        """Wait for the head of the answer."""
        for _ in range(2000):
            if self.sent:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("no answer begins")

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    request = Request(scope, receive)
    data = await request.body()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": data})


def gate(app: Any = echo, refuses: Refusal | None = None, names: str | None = None, **limits: str) -> Gate:
    return Gate(
        app,
        limits=Limits.parse(limits),
        name_of=lambda scope: names or f"peer/{peer_of(scope)}",
        admit=lambda scope, caller: refuses,
        peer_of=peer_of,
    )


def test_requests_of_one_peer_and_of_all_are_bounded() -> None:
    async def play() -> None:
        app = gate(requests="3", requests_of_a_peer="2")
        first = [Talk(app, scope_of("POST", body=True)) for _ in range(2)]
        await asyncio.sleep(0.05)
        third = Talk(app, scope_of("POST", body=True))
        await third.ended()
        assert (third.status, third.headers["retry-after"], third.headers["content-type"]) == (429, "1", PROBLEM)
        other = Talk(app, scope_of("POST", peer="192.0.2.8", body=True))
        await asyncio.sleep(0.05)
        busy = Talk(app, scope_of("POST", peer="192.0.2.9", body=True))
        await busy.ended()
        assert (busy.status, busy.headers["retry-after"]) == (503, "1")
        for talk in (*first, other):
            talk.body(b"hello")
            await talk.ended()
            assert talk.status == 200
        # All places are free again.
        again = Talk(app, scope_of())
        again.body(b"")
        await again.ended()
        assert again.status == 200
        assert not app._requests
        assert not app._bodies

    asyncio.run(play())


def test_bodies_that_are_not_all_there_are_bounded() -> None:
    async def play() -> None:
        app = gate(bodies="2", bodies_of_a_peer="1")
        slow = Talk(app, scope_of("POST", body=True))
        await asyncio.sleep(0.05)
        second = Talk(app, scope_of("POST", body=True))
        await second.ended()
        assert second.status == 429
        # Whoever reads only is let in, and a body that is all there counts no more.
        reads = Talk(app, scope_of())
        reads.body(b"")
        await reads.ended()
        assert reads.status == 200
        slow.body(b"hello")
        await slow.ended()
        third = Talk(app, scope_of("POST", body=True))
        third.body(b"hello")
        await third.ended()
        assert third.status == 200

    asyncio.run(play())


def test_a_stream_of_events_holds_no_place() -> None:
    async def play() -> None:
        over = asyncio.Event()

        async def events(scope: Scope, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await over.wait()

        app = gate(events, requests_of_a_peer="1")
        talks = []
        for _ in range(2):
            talks.append(Talk(app, scope_of()))
            await talks[-1].begun()
        assert [talk.status for talk in talks] == [200, 200]
        over.set()
        await asyncio.gather(*(talk.task for talk in talks))
        assert not app._requests

    asyncio.run(play())


@pytest.mark.parametrize("length", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
@pytest.mark.parametrize("more", [False, True])
def test_long_answers_are_sent_in_pieces(length: int, more: bool) -> None:
    body = bytes(index % 251 for index in range(length))

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": more})
        if more:
            await send({"type": "http.response.body"})

    async def play() -> list[Message]:
        talk = Talk(gate(answers), scope_of())
        await talk.ended()
        return talk.sent[1:]

    sent = asyncio.run(play())
    parts = [part.get("body", b"") for part in sent]
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= PIECE_BYTES
    assert len(parts) == max(1, -(-length // PIECE_BYTES)) + more
    assert [part.get("more_body", False) for part in sent] == [True] * (len(sent) - 1) + [False]


def test_nothing_of_a_body_is_read_before_the_caller_is_admitted() -> None:
    async def play() -> None:
        reached = []

        async def app(scope: Scope, receive: Any, send: Any) -> None:
            reached.append(scope)

        refusal = Refusal(401, "not-authorised", "No", "who are you?", close=True)
        talk = Talk(gate(app, refuses=refusal), scope_of("POST", body=True))
        talk.body(b"hello")
        await talk.ended()
        assert (talk.status, talk.headers["connection"]) == (401, "close")
        assert talk.inbox.qsize() == 1
        assert not reached

    asyncio.run(play())


@pytest.mark.parametrize("path", ["/a\0b", "/a\x1fb", "/a\x7f", "/\ufffd", "/" + "x" * 3000])
def test_odd_addresses_are_refused(path: str) -> None:
    async def play() -> None:
        scope = {**scope_of(), "path": path}
        talk = Talk(gate(), scope)
        await talk.ended()
        assert talk.status in (400, 414)
        assert talk.headers["content-type"] == PROBLEM

    asyncio.run(play())


@pytest.mark.parametrize(("path", "query"), [(b"/a", b"after=0#&after=5"), (b"/a#", b""), (b"/a#", b"after=5")])
def test_an_address_goes_no_further_than_its_signature(path: bytes, query: bytes) -> None:
    """The server would take what follows `#`; a signature of the address leaves it out."""

    async def play() -> None:
        talk = Talk(gate(), {**scope_of(), "path": path.decode(), "raw_path": path, "query_string": query})
        await talk.ended()
        assert (talk.status, talk.headers["content-type"]) == (400, PROBLEM)
        # Written out it is part of a name.
        talk = Talk(gate(), {**scope_of(), "path": "/a#", "raw_path": b"/a%23", "query_string": b"after=%23"})
        talk.body(b"")
        await talk.ended()
        assert talk.status == 200

    asyncio.run(play())


# Slow bodies.


def limited(idle: float = 0.05, total: float = 10) -> BodyLimit:
    return BodyLimit(echo, lambda _: 1 << 16, idle, total)


def test_a_body_that_stops_is_a_408() -> None:
    async def play() -> None:
        talk = Talk(limited(), scope_of("POST", body=True))
        talk.body(b"he", more=True)
        await talk.ended()
        assert (talk.status, talk.headers["connection"], talk.headers["content-type"]) == (408, "close", PROBLEM)

    asyncio.run(play())


def test_a_body_that_trickles_is_a_408() -> None:
    async def play() -> None:
        talk = Talk(limited(idle=5, total=-0.8), scope_of("POST", body=True))
        for _ in range(40):
            if talk.task.done():
                break
            talk.body(b"x", more=True)
            await asyncio.sleep(0.02)
        await talk.ended()
        assert talk.status == 408

    asyncio.run(play())


def test_a_slow_answer_to_a_whole_body_is_none() -> None:
    """Who waits for an evaluation sends nothing meanwhile."""

    async def slow(scope: Scope, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        data = await request.body()
        leaves = asyncio.ensure_future(receive())
        await asyncio.sleep(0.2)
        leaves.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": data})

    async def play() -> None:
        talk = Talk(BodyLimit(slow, lambda _: 1 << 16, 0.05, 0.1), scope_of("POST", body=True))
        talk.body(b"hello")
        await talk.ended()
        assert talk.status == 200

    asyncio.run(play())


# Rates.


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_again() -> None:
    clock = Clock()
    buckets = Buckets(Limits.parse({"writes_per_second": "2", "writes_burst": "3"}), clock)
    taken = [buckets.take(FUND, "POST", "/v1/ticks").refusal is None for _ in range(5)]
    assert taken == [True, True, True, False, False]
    refused = buckets.take(FUND, "POST", "/v1/ticks").refusal
    assert refused is not None
    assert (refused.status, refused.retry_after) == (429, 1)
    # Others, and other classes, are not touched.
    assert buckets.take("other", "POST", "/v1/ticks").refusal is None
    assert buckets.take(FUND, "GET", "/v1/ticks").refusal is None
    assert buckets.take(FUND, "PATCH", f"/v1/institutions/{FUND}/uploads/00").refusal is None
    clock.now += 1
    taken = [buckets.take(FUND, "POST", "/v1/ticks").refusal is None for _ in range(3)]
    assert taken == [True, True, False]
    clock.now += 1000
    taken = [buckets.take(FUND, "POST", "/v1/ticks").refusal is None for _ in range(4)]
    assert taken == [True, True, True, False]


def test_only_so_many_tenants_are_remembered() -> None:
    buckets = Buckets(Limits.parse({"tenants": "5"}), Clock())
    for number in range(1000):
        buckets.take(f"peer/{number}", "GET", "/")
    assert len(buckets._buckets) == 15
    # Whoever is active is not forgotten for others who are not.
    buckets = Buckets(Limits.parse({"tenants": "5", "reads_burst": "500"}), Clock())
    for number in range(400):
        buckets.take(FUND, "GET", "/")
        buckets.take(f"peer/{number}", "GET", "/")
    assert int(buckets._buckets[FUND, "reads"][0]) == 100


def test_rates_are_said_and_kept(world_at: WorldAt) -> None:
    world = world_at("submitted")
    limits = Limits.parse({"reads_per_second": "1", "reads_burst": "3", "writes_per_second": "1", "writes_burst": "1"})
    object.__setattr__(world.operator.settings, "limits", limits)
    answers = [world.client.get("/healthz") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"reads";q=3;w=3'
    assert answers[0].headers["ratelimit"] == '"reads";r=2;t=0'
    refused = answers[3]
    assert refused.headers["content-type"] == PROBLEM
    assert refused.headers["ratelimit"] == '"reads";r=0;t=1'
    assert int(refused.headers["retry-after"]) >= 1
    # One who signs or shows a token has a rate of its own; one who shows nothing that opens anything has the address's.
    path = f"/v1/institutions/{FUND}"
    assert world.client.get(path, auth=world.auth()).status_code == 200
    assert world.client.get(path, headers=world.admin).status_code == 200
    assert world.client.get(path, headers={"Authorization": "Bearer " + "00" * 32}).status_code == 429


# Who is admitted.


@pytest.mark.parametrize("path", ["/v1/deposits", "/v1/admissions", "/v1/ticks/void", "/v1/breakers/halts"])
def test_the_operator_s_own_calls_take_no_body_of_anybody_else(world_at: WorldAt, path: str) -> None:
    world = world_at("submitted")
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}):
        refused = world.client.post(path, content=b"x" * (3 << 20), headers=headers)
        # Not 413: it is not even looked at how long it is.
        assert (refused.status_code, refused.headers["content-type"]) == (401, PROBLEM)
    assert world.client.post(path, content=b"x" * (3 << 20), headers=world.admin).status_code == 413


def test_bodies_for_institutions_that_are_not_admitted_are_refused(world_at: WorldAt) -> None:
    world = world_at("submitted")
    for path in ("submissions", "enrolment", "uploads", "nonce"):
        refused = world.client.post(f"/v1/institutions/nobody/{path}", content=b"x" * (3 << 20))
        assert refused.status_code == 401
        assert refused.json()["detail"].startswith("sign the request")


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8::1", 1), "2001:db8::/64"),
        (("2001:db8:0:0:ffff::1", 1), "2001:db8::/64"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("testclient", 1), "testclient"),
        (None, "unknown"),
    ],
)
def test_a_peer_is_an_address_or_the_net_that_one_sender_has(client: Any, peer: str) -> None:
    assert peer_of({"client": client}) == peer


def test_json_is_not_parsed_on_the_event_loop(world_at: WorldAt, monkeypatch: pytest.MonkeyPatch) -> None:
    from atomic_margin.service.http import strict_json

    inside: list[bool] = []

    def parse(data: bytes) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            inside.append(False)
        else:
            inside.append(True)
        return {}

    monkeypatch.setattr(strict_json, "parse_body", parse)
    world_at("submitted").client.post("/v1/ticks", content=b"{}")
    assert inside == [False]
