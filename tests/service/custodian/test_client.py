"""What a custodian makes of an operator's answers: bounded, parsed, and refused by name."""

import json
from collections.abc import Callable

import httpx
import pytest

from atomic_margin.service.custodian import client as clients
from atomic_margin.service.custodian.client import OperatorClient
from atomic_margin.service.errors import MalformedResponse, RemoteError
from atomic_margin.service.protocol.custodian_messages import TakesPart
from atomic_margin.service.protocol.signing import Identity

IDENTITY, OPERATOR = Identity.generate(), Identity.generate().public_key
Answers = Callable[[httpx.Request], httpx.Response]


def client(answers: Answers) -> OperatorClient:
    return OperatorClient("http://127.0.0.1", IDENTITY, OPERATOR, transport=httpx.MockTransport(answers))


def test_calls_are_signed_and_the_same_call_has_the_same_key() -> None:
    seen: list[httpx.Request] = []

    def answers(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={})

    for part in (TakesPart(address="a:1"), TakesPart(address="a:1"), TakesPart(session=1, address="a:1")):
        client(answers).take_part("1a" * 32, part)
    assert all("signature" in request.headers for request in seen)
    keys = [request.headers["idempotency-key"] for request in seen]
    assert (keys[0] == keys[1], keys[0] == keys[2]) == (True, False)
    assert json.loads(seen[2].content) == {"session": "1", "address": "a:1", "accuses": []}


def test_what_is_no_message_is_refused() -> None:
    for body in (b'{"openings": 3}', b"[]", b'{"openings": [{}]}'):
        with pytest.raises(MalformedResponse):
            client(lambda _, body=body: httpx.Response(200, content=body)).openings()


def test_a_box_that_is_not_there_is_none() -> None:
    assert client(lambda _: httpx.Response(404, json={"detail": "no"})).box("1a" * 32) is None
    with pytest.raises(RemoteError, match="busy") as error:
        client(lambda _: httpx.Response(503, json={"detail": "busy"})).box("1a" * 32)
    assert error.value.status == 503


def test_a_deal_that_is_not_shown_is_gone_and_a_signature_that_does_not_hold_says_nothing() -> None:
    def problem(slug: str, status: int = 401) -> OperatorClient:
        return client(lambda _: httpx.Response(status, json={"type": f"urn:atomic-margin:problem:{slug}"}))

    assert client(lambda _: httpx.Response(200, json={})).has("1a" * 32)
    assert not problem("not-authorised").has("1a" * 32)
    assert not problem("not-found", 404).has("1a" * 32)
    for slug in ("request-signature", "key-unknown"):
        with pytest.raises(RemoteError):
            problem(slug).has("1a" * 32)


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_PROBLEM_BYTES", 10)
    with pytest.raises(RemoteError, match="over 5 bytes"):
        client(lambda _: httpx.Response(200, content=b"123456")).public("v1/log/checkpoint", 5)
    with pytest.raises(RemoteError, match="over 10 bytes"):
        client(lambda _: httpx.Response(500, content=b"x" * 11)).openings()


def test_an_operator_that_is_away() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(RemoteError, match="is it running") as error:
        client(away).openings()
    assert error.value.status == 0
