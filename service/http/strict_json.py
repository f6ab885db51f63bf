"""Bodies of calls are what our own parser takes, before the framework sees them.

ASGI middleware. The framework's parser is more generous: it takes numbers for decimal strings, the last of two equal
keys, NaN, and any depth, which ends the process where a library has raised Python's own limit; and it parses on the
event loop. So no call is listed here: every body of a POST is looked at, but for pages, whose forms are no JSON.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.http.callers import caller_of, is_stranger
from atomic_margin.service.http.outside_json import parse_body
from atomic_margin.service.http.page_paths import is_of_pages
from atomic_margin.service.http.refusals import Refusal

_PARSED = "atomic_margin.parsed"


async def parsed_body(request: Request) -> Any:
    """Return the JSON of a body, as it was parsed before.

    Raises:
        MalformedRequest: there is none.
        ClientDisconnect: it did not arrive whole.
    """
    if _PARSED not in request.scope:
        # Who went away is not answered.
        await request.body()
        raise MalformedRequest("a JSON document is wanted as the body", "body")
    return request.scope[_PARSED]


async def _gone() -> Message:
    return {"type": "http.disconnect"}


class StrictJson:
    """Refuses bodies that are no JSON of ours."""

    def __init__(self, app: ASGIApp) -> None:
        """`app` is what it stands before."""
        self._app = app
        # A parser lets no other thread run: many would take as long, and as many times the memory. One for whoever is
        # known, so that no stranger's bodies come before theirs. Threads of its own, and no lock of an event loop,
        # which does not wake one who waits in another loop.
        self._known, self._strangers = (ThreadPoolExecutor(1, f"json-{whose}") for whose in ("known", "strangers"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one body."""
        if scope["type"] != "http" or scope["method"] != "POST" or is_of_pages(scope["path"]):
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                # Who went away is for the application to notice.
                await self._app(scope, _gone, send)
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(parts)
        parts.clear()
        if body:
            parser = self._strangers if is_stranger(caller_of(scope)) else self._known
            try:
                # A large one takes a while, and nobody else is to wait for it.
                scope[_PARSED] = await asyncio.wrap_future(parser.submit(parse_body, body))
            except MalformedRequest as error:
                await Refusal(error.status, error.slug, error.title, str(error), error.field).send(scope, send)
                return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, again, send)
