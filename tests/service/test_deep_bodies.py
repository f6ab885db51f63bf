"""Deep JSON before authentication, at every route that takes a body: refused, whichever parser meets it first."""

import re
from collections.abc import Callable

from fastapi.testclient import TestClient

from atomic_margin.service.operator.web.app import create_app
from atomic_margin.zk.groups import load_group

from .documents import FUND
from .world import World

DEEP = b"[" * 90_000


def test_deep_bodies_are_refused_by_every_route(world_at: Callable[[str], World]) -> None:
    """With the backend loaded that would raise the recursion limit, which ended the process here."""
    load_group("reference")
    app = create_app(world_at("calm-done").operator, background=False)
    client = TestClient(app, raise_server_exceptions=False)
    asked = 0
    for path, methods in app.openapi()["paths"].items():
        for method in {"post", "put"} & set(methods):
            response = client.request(
                method, re.sub(r"\{[^}]+\}", FUND, path), content=DEEP, headers={"content-type": "application/json"}
            )
            assert 400 <= response.status_code < 500, (method, path, response.status_code)
            asked += 1
    assert asked > 20
