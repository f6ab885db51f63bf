"""The client that tests call an application with, in the same process."""

import warnings

with warnings.catch_warnings():
    # Starlette would rather have a successor of httpx, which is not among our requirements.
    warnings.filterwarnings("ignore", message=".*httpx")
    from fastapi.testclient import TestClient as TestClient
