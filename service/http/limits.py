"""Limits on request bodies, checked while they arrive and before anything parses them."""

import json
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.http.problems import MEDIA_TYPE


class BodyLimit:
    """ASGI middleware that ends a request whose body is longer than its path allows, with a 413 problem."""

    def __init__(self, app: ASGIApp, limit_of: Callable[[str], int]) -> None:
        """`limit_of` gives the limit in bytes for a path."""
        self._app = app
        self._limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body as it streams in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, seen, started = self._limit_of(scope["path"]), 0, False
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:
            await _refuse(send, scope["path"], limit)
            return

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLong
            return message

        async def tracked(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, tracked)
        except _TooLong:
            if not started:
                await _refuse(send, scope["path"], limit)


class _TooLong(BaseException):
    """Passes through the framework's handlers of ordinary exceptions."""


async def _refuse(send: Send, path: str, limit: int) -> None:
    detail = f"at most {limit} bytes are taken here"
    await send_problem(send, path, 413, "too-large", "The body is too large", detail)


async def send_problem(send: Send, path: str, status: int, slug: str, title: str, detail: str) -> None:
    """Answer with a problem document, below the framework, and close the connection."""
    problem = {
        "type": f"urn:atomic-margin:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
    }
    body = json.dumps(problem).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
