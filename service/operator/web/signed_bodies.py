"""The bodies of signed requests, hashed as they stream in: ASGI middleware behind the gate (`web.edge`).

The end of a body is handed on only if it is the body that was signed. Before the gate, every answer is given the epoch
that requests are to be signed for: those of the gate, too, or whoever has an old one would be nobody for as long as its
address is full.
"""

import hashlib
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.errors import BodyDiffers
from atomic_margin.service.http import problems
from atomic_margin.service.http.signatures import EPOCH_HEADER, Signed, check_digest
from atomic_margin.service.operator.web.callers import SIGNED


class SignedBodies:
    """Checks the bodies of requests whose signature the gate found to hold."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        signed = scope.get(SIGNED)
        try:
            await self._app(scope, receive if signed is None else _hashed(receive, signed), noted)
        except _OtherBody as other:
            if not started:
                error = other.error
                refused = problems.problem(
                    Request(scope), error.status, error.slug, error.title, str(error), error.field
                )
                await refused(scope, receive, send)


class TellsEpoch:
    """Has every answer tell the epoch."""

    def __init__(self, app: ASGIApp, *, epoch: Callable[[], str]) -> None:
        """Stand before an application; `epoch` is the present one."""
        self._app, self._epoch = app, epoch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                epoch = (EPOCH_HEADER.lower().encode(), self._epoch().encode())
                message = {**message, "headers": [*message.get("headers", []), epoch]}
            await send(message)

        await self._app(scope, receive, telling)


def _hashed(receive: Receive, signed: Signed) -> Receive:
    hasher = hashlib.sha256()

    async def hashed() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            hasher.update(message.get("body", b""))
            if not message.get("more_body", False):
                try:
                    check_digest(signed, hasher.digest())
                except BodyDiffers as error:
                    raise _OtherBody(error) from None
        return message

    return hashed


class _OtherBody(BaseException):
    """Passes through the framework's handlers of ordinary exceptions."""

    def __init__(self, error: BodyDiffers) -> None:
        super().__init__()
        self.error = error
