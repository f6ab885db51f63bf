"""Deep JSON from whoever is let in, at every route that takes a body: refused, whichever parser meets it first."""

from collections.abc import Callable

from fastapi.testclient import TestClient

from atomic_margin.service.operator.web.app import create_app
from atomic_margin.zk.groups import load_group

from .callers import entitled, of_path
from .world import World

DEEP = b"[" * 90_000


def test_deep_bodies_are_refused_by_every_route(world_at: Callable[[str], World]) -> None:
    """With the backend loaded that would raise the recursion limit, which ended the process here."""
    load_group("reference")
    world = world_at("calm-done")
    app = create_app(world.operator, background=False)
    client = TestClient(app, raise_server_exceptions=False)
    asked = 0
    for path, methods in app.openapi()["paths"].items():
        for method in {"post", "put"} & set(methods):
            if "requestBody" not in methods[method]:
                continue
            response = client.request(method, of_path(path), content=DEEP, **entitled(world, method.upper(), path))
            assert 400 <= response.status_code < 500, (method, path, response.status_code)
            assert response.status_code not in (401, 403), (method, path)
            asked += 1
    assert asked > 20
