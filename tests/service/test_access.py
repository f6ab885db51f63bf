"""Who may make which call: every call of the operator's HTTP face is tried by everybody who may not make it."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from atomic_margin.service.errors import NotAuthorised
from atomic_margin.service.http import replays
from atomic_margin.service.operator.accounts import readers
from atomic_margin.service.operator.staff import ALL_SCOPES, Scope
from atomic_margin.service.operator.web.access import TABLE, Access, access_of
from atomic_margin.service.operator.web.callers import Callers
from atomic_margin.service.protocol.signing import Identity

from .callers import custodian_of, entitled, of_path
from .documents import FUND, OTHER
from .world import World

WorldAt = Callable[[str], World]
CALLS = {call: access for call, access in TABLE.items() if not access.anybody}


@pytest.fixture(scope="module")
def world(stages: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two institutions with a run each; FUND has named two readers, one by a token and one by its key."""
    world: World = stages.open("two", tmp_path_factory.mktemp("access") / "operator")
    for run in (world.play(1), f"{OTHER}.1"):
        world.answer(run)
    body = {
        "institution": FUND,
        "operator": world.key,
        "sequence": "1",
        "entry": world.head(),
        "readers": [
            {"name": "token", "token_sha256": hashlib.sha256(b"auditor's").hexdigest()},
            {"name": "key", "public_key": READER.public_key},
        ],
    }
    readers.name_readers(world.operator, FUND, world.funds[FUND].identity.sign("readers", body).to_json())
    yield world
    world.close()


READER = Identity.generate()


def snapshot(world: World) -> Any:
    """What nobody's attempt may change."""
    return world.ledger(), world.states(), [world.head(name) for name in (FUND, OTHER)], world.operator.account(FUND)


def test_every_call_is_in_the_table_and_the_table_has_no_other(world: World) -> None:
    paths = world.client.get("/openapi.json").json()["paths"]
    calls = {(method.upper(), path.replace("{path}", "{path:path}")) for path in paths for method in paths[path]}
    beside = {("GET", path) for path in ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")}
    beside |= {("GET", "/"), ("GET", "/favicon.ico")}
    beside |= {(method, "/pages{path:path}") for method in ("GET", "HEAD", "POST")}
    assert calls | beside == set(TABLE)


def test_a_call_that_the_table_does_not_have_takes_who_has_every_scope(world_at: WorldAt) -> None:
    world = world_at("enrolled")

    @world.client.app.get("/v1/new")  # type: ignore[attr-defined]
    def new() -> dict[str, str]:
        return {"new": "call"}

    assert access_of("GET", "/v1/new") is None
    token = world.operator.staff.new("all-but-one", ALL_SCOPES - {Scope.HALT}, 1)
    assert world.client.get("/v1/new").status_code == 401
    assert world.client.get("/v1/new", auth=world.auth()).status_code == 401
    assert world.client.get("/v1/new", headers={"Authorization": f"Bearer {token}"}).status_code == 403
    assert world.client.get("/v1/new", headers=world.admin).json() == {"new": "call"}
    assert world.client.get("/v1/newer").status_code == 404


def attempts(world: World, access: Access) -> Iterator[tuple[str, Any, int]]:
    """Callers who may not make a call that is about FUND, and what each is answered."""
    yield "stranger", {}, 401
    yield "unknown key", {"auth": world.signed_by(Identity.generate())}, 401
    yield "unknown token", {"headers": {"Authorization": "Bearer " + "0" * 64}}, 401
    yield "another institution", {"auth": world.auth(OTHER)}, 401
    yield "the operator's own key", {"auth": world.signed_by(world.operator.identity)}, 401
    if not access.institution:
        yield "the institution", {"auth": world.auth(FUND)}, 401
    if not access.readers:
        yield "reader by token", {"headers": {"Authorization": "Bearer auditor's"}}, 401
        yield "reader by key", {"auth": world.signed_by(READER)}, 401
    if access.custodians:
        custodian_of(world)  # there is one, and it is somebody else
    else:
        yield "custodian", {"auth": world.signed_by(custodian_of(world))}, 401
    if not access.sources:
        yield "source", {"auth": world.signed_by(world.source)}, 401
    token = _token(world, ALL_SCOPES - access.scopes)
    yield "staff without the scope", {"headers": {"Authorization": f"Bearer {token}"}}, 403


def _token(world: World, scopes: frozenset[Scope]) -> str:
    name = "-".join(sorted(map(str, scopes)))[:32] or "none"
    for key in world.operator.staff.all():
        if key.name == name:
            world.operator.staff.revoke(name)
    return world.operator.staff.new(name, scopes, 1)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_nobody_makes_another_s_call(world: World, call: tuple[str, str]) -> None:
    method, template = call
    access, before = CALLS[call], snapshot(world)
    path = of_path(template)
    absent = of_path(
        template, institution="nobody", run_id="nobody.1", deal="d1" * 32, request="e1" * 32, resharing="e1" * 32
    )
    body = {} if method in ("GET", "HEAD") else {"json": {"institution": FUND}}
    for who, caller, status in attempts(world, access):
        if template == "/v1/attestations" and who == "another institution":
            continue  # it lists one's own
        response = world.client.request(method, path, **body, **caller)
        assert response.status_code == status, (who, response.text)
        if method == "HEAD":
            continue
        problem = response.json()
        assert problem["type"].startswith("urn:atomic-margin:problem:")
        # The same words whether there is such an institution or run, or none.
        other = world.client.request(method, absent, **body, **caller).json()
        assert {**other, "instance": ""} == {**problem, "instance": ""}, who
    assert snapshot(world)[:3] == before[:3]
    assert snapshot(world)[3].nonce == before[3].nonce


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_whoever_may_is_let_in(world: World, call: tuple[str, str]) -> None:
    """So that every refusal above is owed to who asked."""
    method, template = call
    access = CALLS[call]
    # A body that is none, so that nothing is done.
    body = {} if method in ("GET", "HEAD") else {"content": b"{", "headers": {"content-type": "application/json"}}
    if template.endswith("/nonce"):
        return
    callers = [entitled(world, method, template)]
    if access.readers:
        callers += [{"auth": world.signed_by(READER)}, {"headers": {"Authorization": "Bearer auditor's"}}]
    for scope in access.scopes:
        callers.append({"headers": {"Authorization": f"Bearer {_token(world, frozenset({scope}))}"}})
    for caller in callers:
        headers = {**body.get("headers", {}), **caller.get("headers", {})}
        response = world.client.request(method, of_path(template), **{**body, **caller, "headers": headers})
        assert response.status_code not in (401, 403), response.text


def test_of_a_key_that_is_not_known_nothing_is_kept(world: World) -> None:
    """Whoever makes keys could fill the memory of nonces otherwise."""
    callers, unknown = Callers(world.operator, ()), Identity.generate().public_key
    for source in (False, True):
        with pytest.raises(NotAuthorised):
            callers.by_key(unknown, source=source)
    assert callers.by_key(READER.public_key, source=False).reads == {FUND}
    assert callers.by_key(world.source.public_key, source=True).source
    with pytest.raises(NotAuthorised):
        callers.by_key(world.source.public_key, source=False)


def test_lists_have_one_s_own_alone(world: World) -> None:
    for name in (FUND, OTHER):
        assert world.client.get("/v1/attestations", auth=world.auth(name)).json() == {"runs": [f"{name}.1"]}
    for caller in ({"auth": world.signed_by(READER)}, {"headers": {"Authorization": "Bearer auditor's"}}):
        assert world.client.get("/v1/attestations", **caller).json() == {"runs": [f"{FUND}.1"]}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../other", "other/..", "%6fther", "larkfield%2f..%2fother", "other%00", "Other"])
def test_a_path_is_authorised_as_it_is_routed(world: World, name: str) -> None:
    for path in (f"/v1/institutions/{name}", f"/v1/institutions/{FUND}/../{name}", f"/v1/runs/{name}.1"):
        response = world.client.get(path, auth=world.auth(FUND))
        assert response.status_code in (400, 401, 404), (path, response.text)


def test_a_signed_document_of_another_is_refused_under_one_s_own_name(world: World) -> None:
    """What one institution holds of another's documents it cannot bring, nor its own to another's account."""
    theirs = world.instruction(OTHER, "post", "USDC", 1).to_json()
    for path, auth in ((OTHER, FUND), (FUND, FUND)):
        response = world.client.post(f"/v1/institutions/{path}/collateral", json=theirs, auth=world.auth(auth))
        assert response.status_code in (401, 403)


# Bodies


def read_of(world: World, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, int]:
    """Send a request by ASGI; return the status, and how much of its body was read."""
    sent: list[Any] = []
    read = 0

    async def receive() -> Any:
        nonlocal read
        if read >= len(body):
            await asyncio.sleep(3600)
        chunk = body[read : read + 1000]
        read += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": read < len(body)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("testserver", 80), "state": {},
    }  # fmt: skip
    asyncio.run(world.client.app(scope, receive, send))
    return sent[0]["status"], read


def test_of_a_stranger_s_body_nothing_is_read(world: World) -> None:
    body = b"x" * 100_000
    headers = [(b"host", b"testserver"), (b"content-length", str(len(body)).encode())]
    for method, template in CALLS:
        if method != "GET":
            assert read_of(world, method, of_path(template), headers, body) == (401, 0), template


def test_another_body_than_was_signed_reaches_no_call(world: World) -> None:
    path = f"/v1/institutions/{FUND}/collateral"
    document = world.instruction(FUND, "post", "USDC", 1).to_json()
    auth = world.auth()
    world.client.get(f"/v1/institutions/{FUND}", auth=auth)  # learns the epoch
    before = snapshot(world)
    request = world.client.build_request("POST", path, json={"other": "document"})
    auth.sign(request)
    other = json.dumps(document).encode()
    length = {"content-length": str(len(other))}
    response = world.client.post(path, content=other, headers={**request.headers, **length})
    assert (response.status_code, response.json()["type"]) == (401, "urn:atomic-margin:problem:body-differs")
    assert snapshot(world)[:3] == before[:3]


def test_a_request_that_was_taken_is_taken_once(world: World) -> None:
    auth = world.auth()
    world.client.get(f"/v1/institutions/{FUND}", auth=auth)
    request = world.client.build_request("GET", f"/v1/institutions/{FUND}")
    auth.sign(request)
    assert world.client.send(request).status_code == 200
    again = world.client.send(request)
    assert (again.status_code, again.json()["type"]) == (401, "urn:atomic-margin:problem:request-replayed")


def test_a_request_to_an_earlier_process_is_no_request_to_this_one(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    auth = world.auth()
    assert world.client.get(f"/v1/institutions/{FUND}", auth=auth).status_code == 200
    request = world.client.build_request("GET", f"/v1/institutions/{FUND}")
    auth.sign(request)
    next_world = world.restarted()
    refused = next_world.client.send(request)
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:atomic-margin:problem:epoch-past")
    # Whoever signs goes on by itself.
    assert next_world.client.get(f"/v1/institutions/{FUND}", auth=auth).status_code == 200
    next_world.close()


def test_what_was_signed_long_ago_is_refused_and_the_time_is_said(world: World) -> None:
    auth = world.auth()
    auth._clock = lambda: datetime.now(timezone.utc).timestamp() - 91
    refused = world.client.get(f"/v1/institutions/{FUND}", auth=auth)
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:atomic-margin:problem:request-expired")
    assert "set your clock right" in refused.json()["detail"]


def test_a_flood_of_one_institution_shuts_out_no_other(world_at: WorldAt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays.Replays.__init__, "__defaults__", (*replays.Replays.__init__.__defaults__[:2], 5))  # type: ignore[index]
    world = world_at("two")
    auth = world.auth(FUND)
    statuses = [world.client.get(f"/v1/institutions/{FUND}", auth=auth).status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert world.client.get(f"/v1/institutions/{OTHER}", auth=world.auth(OTHER)).status_code == 200
    assert world.client.get("/v1/ledger", headers=world.admin).status_code == 200
