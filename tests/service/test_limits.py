"""Bodies over their limit end while they arrive, whatever their headers say."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI, Request

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import TINY
from atomic_margin.service.http.limits import BodyLimit
from atomic_margin.service.operator.web.body_limits import MAX_DOCUMENT_BYTES, MAX_OTHER_BYTES, longer_bodies

from .world import TestClient, World

LIMIT = 1000
MEDIA_TYPE = "application/problem+json"


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.state.reached = 0

    @app.post("/{path}")
    async def take(request: Request) -> dict[str, int]:
        body = await request.body()
        app.state.reached += 1
        return {"length": len(body)}

    app.add_middleware(BodyLimit, limit_of=lambda scope: 2 * LIMIT if scope["path"] == "/large" else LIMIT)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def chunks(total: int, size: int = 7) -> Iterator[bytes]:
    """A generator is sent without Content-Length, in chunks."""
    while total:
        yield b"x" * min(size, total)
        total -= min(size, total)


@pytest.mark.parametrize("length", [0, 1, LIMIT - 1, LIMIT])
@pytest.mark.parametrize("chunked", [False, True])
def test_up_to_the_limit_is_taken(client: TestClient, length: int, chunked: bool) -> None:
    response = client.post("/small", content=chunks(length) if chunked else b"x" * length)
    assert response.status_code == 200
    assert response.json() == {"length": length}


@pytest.mark.parametrize("length", [LIMIT + 1, 100 * LIMIT])
@pytest.mark.parametrize("chunked", [False, True])
def test_more_is_a_413_problem(client: TestClient, length: int, chunked: bool) -> None:
    response = client.post("/small", content=chunks(length) if chunked else b"x" * length)
    assert response.status_code == 413
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["connection"] == "close"
    assert response.json() == {
        "type": "urn:atomic-margin:problem:too-large",
        "title": "The body is too large",
        "status": 413,
        "detail": f"at most {LIMIT} bytes are taken here",
        "instance": "/small",
    }
    assert client.app.state.reached == 0  # type: ignore[attr-defined]


def test_the_limit_is_the_path_s(client: TestClient) -> None:
    assert client.post("/large", content=b"x" * 2 * LIMIT).status_code == 200
    assert client.post("/large", content=chunks(2 * LIMIT + 1)).status_code == 413


@pytest.mark.parametrize(
    "declared", ["abc", "-1", "+5", "1e3", "0x10", "", " ", "5, 5", "١", "1" * 5000], ids=lambda text: repr(text[:9])
)
def test_a_malformed_length_is_refused_as_the_sender_s_mistake(client: TestClient, declared: str) -> None:
    request = client.build_request("POST", "/small", content=b"hello")
    request.headers["content-length"] = declared.encode().decode("latin-1")
    response = client.send(request)
    assert response.status_code in (400, 413)
    assert response.headers["content-type"] == MEDIA_TYPE
    assert client.app.state.reached == 0  # type: ignore[attr-defined]


def test_a_length_that_understates_does_not_help(client: TestClient) -> None:
    response = client.post("/small", content=chunks(LIMIT + 1), headers={"content-length": "5"})
    assert response.status_code == 413


def test_the_operator_s_paths(world_at: Callable[[str], World]) -> None:
    world = world_at("submitted")
    client = world.client
    at_limit = client.post("/v1/ticks", content=b" " * MAX_DOCUMENT_BYTES)
    assert (at_limit.status_code, at_limit.json()["type"]) == (400, "urn:atomic-margin:problem:malformed")
    over = client.post("/v1/ticks", content=b" " * (MAX_DOCUMENT_BYTES + 1))
    assert (over.status_code, over.headers["content-type"]) == (413, MEDIA_TYPE)
    too_long = MAX_DOCUMENT_BYTES + 1
    path = "/v1/institutions/larkfield/collateral"
    assert client.post(path, content=chunks(too_long, 1 << 20), auth=world.auth()).status_code == 413
    assert client.post("/v1/admissions", content=chunks(too_long, 1 << 20), headers=world.admin).status_code == 413
    # Of a stranger nothing is read, however long it says to be.
    for path in ("/v1/runs/larkfield.1/answer", "/v1/institutions/larkfield/collateral", "/v1/admissions"):
        assert client.post(path, content=chunks(too_long, 1 << 20)).status_code == 401
    keys, auth = layout_of(TINY).evaluation_key_bytes, world.auth()
    path = f"/v1/institutions/larkfield/uploads/{'00' * 32}"
    assert client.patch(path, content=chunks(keys + 1, 1 << 20)).status_code == 401
    refused = client.patch(path, content=chunks(keys + 1, 1 << 20), auth=auth)
    assert refused.status_code == 422
    refused = client.patch(path, content=b" " * (keys + 1), auth=auth)
    assert refused.status_code == 413


def test_only_calls_that_there_are_take_long_bodies(world_at: Callable[[str], World]) -> None:
    world = world_at("submitted")
    routes = {
        (method, path)
        for path, methods in world.client.get("/openapi.json").json()["paths"].items()
        for method in map(str.upper, methods)
    }
    longer = set(longer_bodies(TINY))
    assert longer - routes == {("POST", "/pages/verify")}
    for method, path in (
        ("POST", "/uploads/x"),
        ("POST", "/v1/dealings"),
        ("POST", "/v1/ticks/"),
        ("POST", "/v1/ticks/7"),
        ("POST", f"/v1/institutions/larkfield/uploads/{'00' * 32}"),
        ("PATCH", "/v1/institutions/larkfield/uploads"),
        ("PATCH", "/v1/institutions/larkfield/uploads/00/00"),
        ("PUT", "/v1/custodian/resharings/00/shares"),
        ("PUT", "/pages/verify"),
        ("POST", "/pages/sign-in"),
        ("POST", "/pages/verify/more"),
        ("GET", "/v1/operator"),
    ):
        refused = world.client.request(method, path, content=b" " * (MAX_OTHER_BYTES + 1), headers=world.admin)
        assert (refused.status_code, refused.headers["content-type"]) == (413, MEDIA_TYPE), (method, path)
        assert f"at most {MAX_OTHER_BYTES} bytes" in refused.json()["detail"]
    # What is short is told what is wrong with it.
    assert world.client.post("/uploads/x", content=b"[]").status_code == 404
    assert world.client.put("/v1/ticks", content=b"[]").status_code == 405
    assert world.client.post("/pages/verify", content=b" " * (MAX_OTHER_BYTES + 1)).status_code == 401
