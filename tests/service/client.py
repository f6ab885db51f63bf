"""The client that tests call an application with, in the same process."""

import warnings
from typing import Any

with warnings.catch_warnings():
    # Starlette would rather have a successor of httpx, which is not among our requirements.
    warnings.filterwarnings("ignore", message=".*httpx")
    from fastapi.testclient import TestClient as _TestClient


class TestClient(_TestClient):
    """The same, under a name of this machine: agents answer to no other."""

    __test__ = False

    def __init__(self, app: Any, base_url: str = "http://127.0.0.1", **options: Any) -> None:
        super().__init__(app, base_url=base_url, **options)
