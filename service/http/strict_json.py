"""JSON for calls whose bodies the framework parses: it has to be what our own parser takes, and before it parses.

ASGI middleware. The framework's parser is more generous: it takes numbers for decimal strings, the last of two equal
keys, NaN, and any depth; and it parses on the event loop.
"""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.http.refusals import Refusal


class StrictJson:
    """Refuses bodies that are no JSON of ours."""

    def __init__(self, app: ASGIApp, *, wanted: Callable[[Scope], bool]) -> None:
        """`wanted` says for which calls; their bodies are short."""
        self._app, self._wanted = app, wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one body."""
        if scope["type"] != "http" or scope["method"] != "POST" or not self._wanted(scope):
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(parts)
        if body:
            try:
                await run_in_threadpool(parse_json, body, "body")
            except MalformedRequest as error:
                await Refusal(error.status, error.slug, error.title, str(error), error.field).send(scope, send)
                return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, again, send)
