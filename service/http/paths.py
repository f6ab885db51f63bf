"""What no path may hold, for the operator's HTTP face: checked before anything is looked up by a part of it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from atomic_margin.service.http.limits import send_problem


class PathCheck:
    """ASGI middleware that refuses a path with a NUL byte, which no name here has and not every database takes."""

    def __init__(self, app: ASGIApp) -> None:
        """Check what goes to an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with a 400 problem."""
        if scope["type"] == "http" and "\0" in scope["path"]:
            await send_problem(send, scope["path"], 400, "malformed", "A field is wrong", "a path has no NUL byte")
            return
        await self._app(scope, receive, send)
