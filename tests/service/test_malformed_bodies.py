"""Ten thousand malformed bodies, over every POST: each is the sender's mistake (4xx), said in a problem document.

They are mutations of good ones: cut, nested, with odd numbers, NULs, other types, bytes that are no UTF-8, keys twice.
What is right in form by the contract is no mutation that counts: every one that is sent has to be refused.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import jsonschema_rs
import pytest

from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.http.outside_json import parse_json

from .. import postgres
from .callers import entitled, of_path
from .documents import FUND
from .test_contract import WIDE
from .world import World

BODIES = 1000 if postgres.wanted() else 10_000
"""None of them comes as far as a database; those on PostgreSQL show that."""
SEED = 14
TRIES = 1000
"""Until a mutation of a body is malformed."""
PROBLEM = "application/problem+json"
HUGE = [2**31, 2**31 - 1, 2**63, 2**63 - 1, -(2**63), 2**64, 10**30, 10**400, -1, 0, 1.5, -0.0, 1e308]
ODD_TEXTS = [
    "",
    "\0",
    "a\0b",
    "\ud800",
    "\U0010ffff",
    "9" * 5000,
    "1e5",
    "+1",
    " 1",
    "01",
    "-0",
    "NaN",
    "../..",
    "x" * 9000,
]
Mutation = Callable[[random.Random, Any], bytes]


def paths_of(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in items:
        yield from paths_of(one, (*at, name))


def changed(chance: random.Random, value: Any, new: Callable[[Any], Any]) -> Any:
    """Return a copy with one part, anywhere in it, replaced."""
    copy = json.loads(json.dumps(value))
    at = chance.choice([path for path in paths_of(copy) if path] or [()])
    if not at:
        return new(copy)
    inside = copy
    for name in at[:-1]:
        inside = inside[name]
    inside[at[-1]] = new(inside[at[-1]])
    return copy


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def cut(chance: random.Random, body: Any) -> bytes:
    data = dumped(body)
    return data[: chance.randrange(len(data))]


def other_type(chance: random.Random, body: Any) -> bytes:
    others: list[Any] = [None, True, [], {}, [[]], {"": {}}, "text", ["a"] * 100]
    return dumped(changed(chance, body, lambda old: chance.choice([one for one in others if one != old])))


def number(chance: random.Random, body: Any) -> bytes:
    return dumped(changed(chance, body, lambda _: chance.choice(HUGE)))


def odd_text(chance: random.Random, body: Any) -> bytes:
    return dumped(changed(chance, body, lambda _: chance.choice(ODD_TEXTS)))


def number_in_text(chance: random.Random, body: Any) -> bytes:
    return dumped(changed(chance, body, lambda _: str(chance.choice(HUGE))))


def deep(chance: random.Random, body: Any) -> bytes:
    levels = chance.choice([33, 100, 499, 501, 5000, 90_000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inside = opening * levels + (b'""' if opening != b"[" else b"") + closing * chance.choice([0, levels])
    return dumped(changed(chance, body, lambda _: "HERE")).replace(b'"HERE"', inside, 1)


def raw_bytes(chance: random.Random, body: Any) -> bytes:
    data = bytearray(dumped(body))
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.choice([0, 0x80, 0xC0, 0xFF, 0xED, 0x1F, 0x5C, 0x22])
    return bytes(data)


def twice(chance: random.Random, body: Any) -> bytes:
    name = chance.choice(sorted(body)) if body else "a"
    return dumped(body)[:-1] + b"," + json.dumps(name).encode() + b":" + chance.choice([b'"1"', b"null", b"{}"]) + b"}"


def one_more(chance: random.Random, body: Any) -> bytes:
    return dumped({**body, chance.choice(["extra", "\0", "__proto__", "body2"]): "1"})


def one_less(chance: random.Random, body: Any) -> bytes:
    less = chance.choice(sorted(body)) if body else ""
    return dumped({name: body[name] for name in body if name != less}) if body else b"{"


def not_an_object(chance: random.Random, body: Any) -> bytes:
    return chance.choice(
        [b"", b"[]", b"null", b"true", b'""', b"7", b"NaN", b"[" * 40 + b"]" * 40, b"\xff\xfe", b"{}}"]
    )


def other_encoding(chance: random.Random, body: Any) -> bytes:
    return json.dumps(body).encode(chance.choice(["utf-16", "utf-32", "utf-8-sig"]))


MUTATIONS: list[Mutation] = [
    cut,
    other_type,
    number,
    odd_text,
    number_in_text,
    deep,
    raw_bytes,
    twice,
    one_more,
    one_less,
    not_an_object,
    other_encoding,
]


def example_of(schema: Any, api: Any) -> Any:
    """Return a body that is right by its schema, from the examples of its fields."""
    if "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    fields = schema.get("properties", {})
    return {name: field["examples"][0] for name, field in fields.items() if field.get("examples")}


class Taking(NamedTuple):
    """A call that takes a body, in the words of whoever may make it."""

    template: str
    path: str
    good: Any
    schema: jsonschema_rs.Validator

    def means_something(self, content: bytes) -> bool:
        """Whether a mutation is a body that is right in form: another good one, which somebody may mean."""
        # Nobody has signed a mutation, nor what it was made from.
        if "signature" in self.good:
            return False
        try:
            return self.schema.is_valid(parse_json(content, "body"))
        except MalformedRequest:
            return False


def posts(world: World) -> list[Taking]:
    """Return every POST that takes JSON: the operator's own, too."""
    api = world.client.app.openapi()  # type: ignore[attr-defined]
    found = []
    for template, methods in sorted(api["paths"].items()):
        content = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            schema = content["schema"]
            body = content.get("example") or example_of(schema, api)
            whole = jsonschema_rs.validator_for({**schema, "components": api["components"]})
            found.append(Taking(template, of_path(template, run_id=f"{FUND}.2"), body, whole))
    return found


@pytest.fixture
def world(world_at: Callable[[str], World]) -> World:
    world = world_at("fall-done")
    object.__setattr__(world.operator.settings, "limits", WIDE)
    return world


def refused(response: httpx.Response, said: object) -> int:
    assert 400 <= response.status_code < 500, (said, response.status_code, response.text[:300])
    assert response.headers["content-type"] == PROBLEM, said
    assert response.json()["detail"], said
    return response.status_code


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_malformed_bodies_are_the_sender_s_mistake(world: World) -> None:
    chance, calls = random.Random(SEED), posts(world)
    assert len(calls) > 30
    counts = Counter[int]()
    of_calls = Counter[str]()
    for number_ in range(BODIES):
        call = calls[number_ % len(calls)]
        for _ in range(TRIES):
            mutate = chance.choice(MUTATIONS)
            content = mutate(chance, call.good)
            if not call.means_something(content):
                break
        else:
            pytest.fail(f"{call.path}: its schema takes anything")
        who = entitled(world, "POST", call.template)
        headers = {**who.pop("headers", {}), "Content-Type": "application/json"}
        response = world.client.post(call.path, content=content, headers=headers, **who)
        counts[refused(response, (call.path, mutate.__name__, content[:300]))] += 1
        of_calls[call.template] += 1
    assert counts.total() == BODIES
    assert min(of_calls.values()) >= BODIES // len(calls)
    # All of them were read: nobody was turned away for who it is.
    assert counts[401] == 0
    assert counts[400] > BODIES // 4


@pytest.mark.long
def test_bytes_that_are_not_what_was_declared_are_the_sender_s_mistake(world: World) -> None:
    chance, good = random.Random(SEED), posts(world)[0].good
    at = f"/v1/institutions/{FUND}/uploads"
    for number_ in range(BODIES // 20):
        content = chance.choice(MUTATIONS)(chance, good) or b"\0"
        sha256, size = f"{number_:064x}", chance.choice([len(content), max(len(content) - 1, 1)])
        declared = world.client.post(at, json={"sha256": sha256, "size": str(size)}, auth=world.auth())
        assert declared.status_code == 201, declared.text
        headers = {"Upload-Offset": chance.choice(["0", "0", "0", "1", "-1", "01e", "one"])}
        response = world.client.patch(f"{at}/{sha256}", content=content, headers=headers, auth=world.auth())
        refused(response, (headers, content[:300]))
        assert not list((world.directory / "uploads").rglob("*.whole"))


def test_every_body_is_refused_by_our_own_parser_before_any_other_sees_it(world: World) -> None:
    for call in posts(world):
        who = entitled(world, "POST", call.template)
        headers = {**who.pop("headers", {}), "Content-Type": "application/json"}
        for content, why in ((b"[" * 600, "nested deeper than 32 levels"), (b'{"a": "", "a": ""}', "a key twice")):
            response = world.client.post(call.path, content=content, headers=headers, **who)
            assert response.status_code == 400, (call.path, response.text)
            assert why in response.json()["detail"], call.path


def test_the_place_of_what_is_no_json_is_named(world: World) -> None:
    for path, headers in (("/v1/ticks", {}), ("/v1/deposits", world.admin)):
        response = world.client.post(path, content=b'{"a": "1",\n "b" "2"}', headers=headers)
        assert response.status_code == 400
        assert "line 2 column 6" in response.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/institutions/%00",
        "/v1/institutions/a%00b/entries",
        f"/v1/institutions/{FUND}/entries?after=%00",
        "/v1/runs/%00",
        "/v1/runs/a%00b/outputs/breach",
        "/v1/attestations/%00",
        "/v1/terms/%00",
        "/v1/log/tile/%00",
        "/v1/universes/%00",
        "/v1/ticks/%00",
        "/%00",
        "/v1/ticks/9223372036854775808",
        "/v1/ticks/99999999999999999999999999",
        f"/v1/institutions/{FUND}/entries?after=9223372036854775808",
        f"/v1/institutions/{FUND}/entries?after=-1",
        "/v1/log/evidence?leaf=9223372036854775808",
        "/v1/log/tile/0/x999/x999/x999/x999/x999/x999/000",
        "/v1/runs/%ff",
        "/v1/runs/%ed%a0%80",
    ],
)
def test_odd_addresses_are_the_sender_s_mistake(world: World, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        response = world.client.request(method, path, headers=world.admin)
        assert 400 <= response.status_code < 500, (method, response.text)
        if method != "HEAD":
            assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    "path", ["/v1/operator/", "/v1/ticks/", f"/v1/institutions/{FUND}/", "/docs/", "/pages/accounts/", "/pages/x/"]
)
def test_an_address_with_a_slash_too_many_is_not_redirected_to_another_host(world: World, path: str) -> None:
    response = world.client.get(path, headers={**world.admin, "Host": "evil.example"}, follow_redirects=False)
    assert (response.status_code, response.headers.get("location")) == (404, None)


@pytest.mark.parametrize("path", ["/", "/pages"])
def test_the_way_to_the_pages_names_no_host(world: World, path: str) -> None:
    response = world.client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/pages/")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/operator", "GET"),
        ("PUT", "/v1/ticks", "GET, POST"),
        ("PUT", "/v1/ticks/void", "POST"),
        ("GET", "/v1/ticks/void", "POST"),
        ("POST", "/v1/ticks/7", "GET"),
        ("TRACE", f"/v1/institutions/{FUND}/giving-up", "GET, POST"),
        ("GET", f"/v1/institutions/{FUND}/uploads/{'0' * 64}", "DELETE, HEAD, PATCH"),
        ("PATCH", "/v1/log/tile/0/000", "GET"),
    ],
)
def test_a_method_that_a_path_has_not_is_a_405_with_those_it_has(
    world: World, method: str, path: str, allow: str
) -> None:
    response = world.client.request(method, path, headers=world.admin)
    assert (response.status_code, response.headers["allow"]) == (405, allow)
    assert response.headers["content-type"] == PROBLEM
