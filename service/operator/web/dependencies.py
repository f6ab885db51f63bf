"""What the calls of the operator's HTTP face take from a request: JSON from outside, and the bearer token."""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from atomic_margin.service.http.outside_json import parse_json

_bearer = HTTPBearer(auto_error=False, description="admin.token of the operator, or the token enrolment returned")


async def _json_body(request: Request) -> Any:
    # A large one takes a while, and nobody else is to wait for it.
    return await run_in_threadpool(parse_json, await request.body())


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str | None:
    return None if credentials is None else credentials.credentials


JsonBody = Annotated[Any, Depends(_json_body)]
Token = Annotated[str | None, Depends(_token)]
