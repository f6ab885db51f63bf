"""A POST with an Idempotency-Key is carried out once, and answered alike whenever it is sent again."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.types import Receive, Scope, Send

from atomic_margin.service.http.idempotency import Idempotency
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.store import idempotency
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.idempotency import (
    IdempotencyRow,
    KeptAnswer,
    KeptAnswers,
    find_answer,
    keep_answer,
    prune_idempotency,
)

from .documents import FUND, OTHER
from .test_gate import Talk, scope_of
from .world import World

PROBLEM = "application/problem+json"
NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
DEPOSIT = {"institution": FUND, "asset": "USDC", "quantity": "5", "reference": "custodian-17"}


@pytest.fixture
def world(world_at: Callable[[str], World]) -> World:
    return world_at("submitted")


def rows(world: World) -> int:
    with world.operator.store.unit_of_work() as session:
        return session.scalar(select(func.count()).select_from(IdempotencyRow)) or 0


def key(name: str = "once") -> dict[str, str]:
    return {"Idempotency-Key": name}


def test_the_same_request_again_gets_the_kept_answer(world: World) -> None:
    """A nonce is new every time that one is asked for, so the second could not be the first by chance."""
    path = f"/v1/institutions/{FUND}/nonce"
    first = world.client.post(path, headers=key(), auth=world.auth())
    again = world.client.post(path, headers=key(), auth=world.auth())
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    other = world.client.post(path, headers=key("another"), auth=world.auth())
    assert other.json() != first.json()
    assert world.client.post(path, auth=world.auth()).json() != first.json()


def test_it_is_kept_over_a_restart(world_at: Callable[[str], World], world: World) -> None:
    path = f"/v1/institutions/{FUND}/nonce"
    first = world.client.post(path, headers=key(), auth=world.auth())
    again = world.restarted()
    try:
        assert again.client.post(path, headers=key(), auth=world.auth()).content == first.content
    finally:
        again.close()


def test_another_body_under_the_key_is_refused(world: World) -> None:
    assert world.client.post("/v1/deposits", json=DEPOSIT, headers={**world.admin, **key()}).status_code == 201
    for changed in ({"quantity": "6"}, {"reference": "custodian-18"}):
        refused = world.client.post("/v1/deposits", json={**DEPOSIT, **changed}, headers={**world.admin, **key()})
        assert (refused.status_code, refused.headers["content-type"]) == (422, PROBLEM)
        assert refused.json()["type"] == "urn:atomic-margin:problem:idempotency-key-reused"
    elsewhere = world.client.post("/v1/maturities", json=DEPOSIT, headers={**world.admin, **key()})
    assert elsewhere.json()["type"] == "urn:atomic-margin:problem:idempotency-key-reused"
    assert world.client.post("/v1/deposits", json=DEPOSIT, headers={**world.admin, **key()}).status_code == 201


def test_a_key_is_its_caller_s_own(world: World) -> None:
    path = f"/v1/institutions/{FUND}/nonce"
    first = world.client.post(path, headers=key(), auth=world.auth())
    assert first.status_code == 201
    for stranger in ({}, {"Authorization": "Bearer " + "00" * 32}):
        refused = world.client.post(path, headers={**stranger, **key()})
        assert refused.status_code == 401
        assert "nonce" not in refused.json()
    deposited = world.client.post("/v1/deposits", json=DEPOSIT, headers={**world.admin, **key()})
    assert (deposited.status_code, "idempotency-replayed" in deposited.headers) == (201, False)


def test_what_was_refused_is_asked_anew(world: World) -> None:
    """A refusal stored nothing, and what it was about may have changed."""
    instruction = world.instruction(FUND, "post", "USDC", 10**13).to_json()
    path = f"/v1/institutions/{FUND}/collateral"
    assert world.client.post(path, json=instruction, headers=key(), auth=world.auth()).status_code == 409
    assert rows(world) == 0
    world.deposit(FUND, "USDC", 10**13, "custodian-99")
    # The same instruction, byte by byte, is taken now: the deposit came in between.
    instruction = world.instruction(FUND, "post", "USDC", 10**13).to_json()
    taken = world.client.post(path, json=instruction, headers=key(), auth=world.auth())
    assert taken.status_code == 201
    assert "idempotency-replayed" not in taken.headers


@pytest.mark.parametrize("wrong", ["", " ", "a b", "ü", '"', '"a', "a" * 256, '""', "a\x7f"])
def test_a_malformed_key_is_a_400(world: World, wrong: str) -> None:
    headers = [(b"Authorization", world.admin["Authorization"].encode()), (b"Idempotency-Key", wrong.encode("latin-1"))]
    refused = world.client.post("/v1/deposits", json=DEPOSIT, headers=headers)  # type: ignore[arg-type]
    assert (refused.status_code, refused.headers["content-type"]) == (400, PROBLEM)
    assert refused.json()["field"] == "Idempotency-Key"


def test_quoted_and_plain_are_one_key(world: World) -> None:
    path = f"/v1/institutions/{FUND}/nonce"
    first = world.client.post(path, headers=key("8e03978e"), auth=world.auth())
    quoted = world.client.post(path, headers=key('"8e03978e"'), auth=world.auth())
    assert quoted.content == first.content


def test_a_request_that_is_still_worked_on_is_a_409(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    halted = halts.halt

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return halted(*arguments)

    monkeypatch.setattr(halts, "halt", slow)
    asked = {"reason": "prices look wrong"}
    answers = []
    with world.client:
        ask = lambda: world.client.post("/v1/breakers/halts", json=asked, headers={**world.admin, **key()})  # noqa: E731
        thread = threading.Thread(target=lambda: answers.append(ask()))
        thread.start()
        assert begun.wait(20)
        refused = ask()
        go_on.set()
        thread.join()
        again = ask()
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
    assert refused.json()["type"] == "urn:atomic-margin:problem:idempotency-in-progress"
    assert answers[0].status_code == 201, answers[0].text
    assert again.content == answers[0].content


def answer(number: int = 0) -> KeptAnswer:
    body = json.dumps({"number": number}).encode()
    return KeptAnswer(hashlib.sha256(body).hexdigest(), 201, "application/json", body)


def test_an_answer_is_kept_for_a_day(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        keep_answer(session, FUND, "k", answer(), NOW)
        late = NOW + timedelta(hours=24)
        assert find_answer(session, FUND, "k", late - timedelta(seconds=1)) == answer()
        assert find_answer(session, FUND, "k", late) is None
        assert prune_idempotency(session, late - timedelta(seconds=1)) == 0
        # What is too old makes place for another answer under the key.
        keep_answer(session, FUND, "k", answer(1), late)
        assert find_answer(session, FUND, "k", late) == answer(1)
        assert prune_idempotency(session, late + timedelta(days=1)) == 1


def test_the_first_answer_stays(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        keep_answer(session, FUND, "k", answer(), NOW)
        keep_answer(session, FUND, "k", answer(1), NOW)
        assert find_answer(session, FUND, "k", NOW) == answer()


def test_rows_are_bounded_for_one_caller_and_for_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_OF_A_CALLER", 3)
    monkeypatch.setattr(idempotency, "MAX_OF_ALL", 4)
    with world.operator.store.unit_of_work() as session:
        for number in range(5):
            keep_answer(session, FUND, str(number), answer(number), NOW + timedelta(seconds=number))
        keep_answer(session, OTHER, "0", answer(), NOW)
        found = [find_answer(session, FUND, str(number), NOW) is not None for number in range(5)]
        assert found == [False, False, True, True, True]
        assert find_answer(session, OTHER, "0", NOW) is not None
        keep_answer(session, OTHER, "1", answer(), NOW + timedelta(seconds=9))
        assert prune_idempotency(session, NOW) == 1
        assert find_answer(session, OTHER, "0", NOW) is None


@pytest.mark.parametrize(("path", "read"), [("/pages/verify", 0), ("/v1/ticks", 1)])
def test_forms_of_pages_are_left_to_them(world: World, path: str, read: int) -> None:
    """They read a stranger's form not at all, and bundles are long."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def play() -> None:
        keeper = KeptAnswers(world.operator.store.unit_of_work, now)
        scope = scope_of("POST", path, body=True)
        scope["headers"].append((b"idempotency-key", b"once"))
        talk = Talk(Idempotency(answer, caller_of=lambda _: "peer/192.0.2.7", keeper=keeper), scope)
        talk.body(b"hello")
        await talk.ended()
        assert talk.status == 200
        assert talk.inbox.qsize() == 1 - read

    asyncio.run(play())
