"""Limits on request bodies: how long they are and how slowly they may come, checked before anything parses them."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.http.refusals import Refusal

IDLE_SECONDS = 10.0
TOTAL_SECONDS = 60.0
# A body may be as slow as this beyond the usual time: half a megabit a second.
_BYTES_A_SECOND = 1 << 16


class BodyLimit:
    """ASGI middleware that ends a request whose body is longer than its call allows (413) or comes too slowly (408)."""

    def __init__(
        self,
        app: ASGIApp,
        limit_of: Callable[[Scope], int],
        idle_seconds: float = IDLE_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        """Watch bodies.

        Args:
            app: what takes them.
            limit_of: gives the limit in bytes of a request, by its method and path.
            idle_seconds: time until some more has to be there.
            total_seconds: time for all of it; longer for calls that take long ones.
        """
        self._app = app
        self._limit_of = limit_of
        self._idle_seconds, self._total_seconds = idle_seconds, total_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body as it streams in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_of(scope)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:
            await _too_long(limit).send(scope, send)
            return
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._total_seconds + limit / _BYTES_A_SECOND
        seen, started, complete = 0, False, False

        async def counted() -> Message:
            nonlocal seen, complete
            if complete:
                # What comes now is that the other side leaves, and that may take as long as the answer.
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), min(self._idle_seconds, deadline - clock()))
            except asyncio.TimeoutError:
                raise _EndOfPatience(_too_slow()) from None
            seen += len(message.get("body", b""))
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            if seen > limit:
                raise _EndOfPatience(_too_long(limit))
            return message

        async def tracked(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, tracked)
        except _EndOfPatience as end:
            if not started:
                await end.refusal.send(scope, send)


class _EndOfPatience(BaseException):
    """Passes through the framework's handlers of ordinary exceptions."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


def _too_long(limit: int) -> Refusal:
    return Refusal(
        413, "too-large", "The body is too large", f"at most {limit} bytes are taken here", field=None, close=True
    )


def _too_slow() -> Refusal:
    detail = "the body comes too slowly; send it again, large ones as an upload in parts"
    return Refusal(408, "too-slow", "The body did not come in time", detail, retry_after=1, close=True)
