"""The gate of an HTTP face: who comes in, how many at once, and how often. Nothing of a body is read before.

ASGI middleware, outermost but for the framework's own handler of errors. It asks who calls, whether a body is taken
from them, and counts: requests in hand, bodies that are not all there, and requests a second by tenant and class of
route.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.http.callers import set_caller
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.peers import peer_of
from atomic_margin.service.http.rates import Buckets
from atomic_margin.service.http.refusals import Refusal

MAX_PATH_LENGTH = 2048
MAX_QUERY_LENGTH = 4096
PIECE_BYTES = 1 << 16


class Gate:
    """The gate of one face."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        name_of: Callable[[Scope], str],
        admit: Callable[[Scope, str], Refusal | None],
        peer_of: Callable[[Scope], str],
    ) -> None:
        """Stand before an application.

        Args:
            app: the application.
            limits: what it takes.
            name_of: who calls; runs in a thread.
            admit: whether a body of theirs is taken; runs in a thread.
            peer_of: the address that counts as one peer.
        """
        self._app, self._limits = app, limits
        self._name_of, self._admit, self._peer_of = name_of, admit, peer_of
        self._buckets = Buckets(limits)
        self._requests: Counter[str] = Counter()
        self._bodies: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _odd(scope)
        if refusal is not None:
            await refusal.send(scope, send)
            return
        peer = self._peer_of(scope)
        has_body = _has_body(scope)
        refusal = self._too_many(peer, has_body)
        if refusal is not None:
            await refusal.send(scope, send)
            return
        request = _Held(self._requests, peer)
        body = _Held(self._bodies, peer) if has_body else None
        try:
            await self._let_in(scope, _watched(receive, body), send, request)
        finally:
            request.let_go()
            if body is not None:
                body.let_go()

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, request: "_Held") -> None:
        caller = await run_in_threadpool(self._name_of, scope)
        set_caller(scope, caller)
        standing = self._buckets.take(caller, scope["method"], scope["path"])
        refusal = standing.refusal
        if refusal is None:
            refusal = await run_in_threadpool(self._admit, scope, caller)
        if refusal is not None:
            await refusal.send(scope, send)
            return

        is_stream = False

        async def marked(message: Message) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *standing.headers]}
                is_stream = _is_stream(message)
                if is_stream:
                    # It lasts as long as somebody listens, and takes no thread meanwhile.
                    request.let_go()
            # Parts of events are not cut: another one could come in between.
            for part in (message,) if is_stream else _pieces(message):
                await send(part)

        await self._app(scope, receive, marked)

    def _too_many(self, peer: str, has_body: bool) -> Refusal | None:
        limits = self._limits
        if self._requests.total() >= limits.requests or (has_body and self._bodies.total() >= limits.bodies):
            detail = "too many requests are in hand; send it again in a moment"
            return Refusal(503, "busy", "The operator is busy", detail, retry_after=1, close=has_body)
        if self._requests[peer] >= limits.requests_of_a_peer:
            return _too_many(limits.requests_of_a_peer, "requests", has_body)
        if has_body and self._bodies[peer] >= limits.bodies_of_a_peer:
            return _too_many(limits.bodies_of_a_peer, "bodies", has_body)
        return None


def install_gate(app: Starlette, limits: Limits) -> None:
    """Put a gate before a face that knows nobody: it keeps nobody out, and counts by address."""
    app.add_middleware(
        Gate, limits=limits, name_of=lambda scope: f"peer/{peer_of(scope)}", admit=lambda *_: None, peer_of=peer_of
    )


class _Held:
    """One place among those that are counted; let go of once."""

    def __init__(self, counted: Counter[str], peer: str) -> None:
        self._counted, self._peer, self._held = counted, peer, True
        counted[peer] += 1

    def let_go(self) -> None:
        if self._held:
            self._held = False
            self._counted[self._peer] -= 1
            if not self._counted[self._peer]:
                del self._counted[self._peer]


def _pieces(message: Message) -> Iterator[Message]:
    """Yield a part of an answer in pieces.

    Each waits until most of those before are taken: TLS gives what waits when an answer is complete a limited time.
    """
    body = message.get("body", b"")
    last = max(0, len(body) - 1) // PIECE_BYTES * PIECE_BYTES
    for start in range(0, last, PIECE_BYTES):
        yield {"type": "http.response.body", "body": body[start : start + PIECE_BYTES], "more_body": True}
    yield {**message, "body": body[last:]} if last else message


def _watched(receive: Receive, body: _Held | None) -> Receive:
    async def watched() -> Message:
        message = await receive()
        if body is not None and not (message["type"] == "http.request" and message.get("more_body", False)):
            body.let_go()
        return message

    return watched


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in scope["headers"]
    )


def _is_stream(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"]
    )


def _odd(scope: Scope) -> Refusal | None:
    """Refuse addresses that nothing here has: no database has to make sense of their bytes."""
    path, query = scope["path"], scope["query_string"]
    if len(path) > MAX_PATH_LENGTH or len(query) > MAX_QUERY_LENGTH:
        detail = f"a path has at most {MAX_PATH_LENGTH} characters here, a query {MAX_QUERY_LENGTH} bytes"
        return Refusal(414, "too-long", "The address is too long", detail, close=True)
    odd = any(ord(letter) < 0x20 or letter in "\x7f\ufffd" or 0xD800 <= ord(letter) < 0xE000 for letter in path)
    # What follows `#` is no part of what is asked for, and no signature of the address is about it.
    odd = odd or b"#" in (scope.get("raw_path") or b"") or b"#" in query
    if odd or b"%00" in query or b"\0" in query:
        detail = "the address has a control character, a `#`, or bytes that are no UTF-8"
        return Refusal(400, "malformed", "A field is wrong", detail, "path", close=True)
    return None


def _too_many(limit: int, what: str, close: bool) -> Refusal:
    detail = f"at most {limit} {what} at once are taken from one address; send it again in a moment"
    return Refusal(429, "too-many", "Too many requests at once", detail, retry_after=1, close=close)
