"""The `Idempotency-Key` header: a POST that is sent again gets the answer that it got.

ASGI middleware, for the operator's HTTP face. Same key and same request: the kept answer. Same key and another request:
422. The first is still being worked on: 409. Only answers that say success are kept: what was refused stored nothing,
so that asking again is safe, and may be right by now. An answer marked `Cache-Control: no-store` is not kept either.
"""

import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.http.page_paths import is_of_pages
from atomic_margin.service.http.refusals import Refusal

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
MAX_KEPT_BYTES = 1 << 20
# Visible ASCII: a token of any kind, or the quoted string of RFC 8941 that the draft has.
_KEY = re.compile(rb'"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,255}"|[\x21\x23-\x7e]{1,255}')


class KeptAnswer(NamedTuple):
    """What a request was answered with."""

    digest: str
    """Of the request."""
    status: int
    media_type: str
    body: bytes


class Keeper(Protocol):
    """Where answers are kept; `operator.store.idempotency` is one."""

    def find(self, caller: str, key: str) -> KeptAnswer | None:
        """Return what is kept under a caller's key."""

    def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep an answer; another one under the key stays."""


class Idempotency:
    """ASGI middleware that answers a POST with a key once, and from then on with what is kept."""

    def __init__(self, app: ASGIApp, *, caller_of: Callable[[Scope], str], keeper: Keeper) -> None:
        """Args: `caller_of` names whose key it is; `keeper` has the answers."""
        self._app, self._caller_of, self._keeper = app, caller_of, keeper
        # One process serves a directory: what it works on is known here, and nothing is left over after a crash.
        self._begun: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Forms of pages are read only of whoever is signed in.
        if scope["type"] != "http" or scope["method"] != "POST" or is_of_pages(scope["path"]):
            await self._app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name == b"idempotency-key"]
        if not sent:
            await self._app(scope, receive, send)
            return
        if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
            await _malformed().send(scope, send)
            return
        body = await _read(receive)
        if body is None:
            return
        await self._once(sent[0].decode("ascii").strip('"'), body, scope, receive, send)

    async def _once(self, key: str, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        digest = digest_of(scope, body)
        name = (self._caller_of(scope), key)
        if name in self._begun:
            await _in_progress().send(scope, send)
            return
        self._begun.add(name)
        try:
            kept = await run_in_threadpool(self._keeper.find, *name)
            if kept is not None:
                await (_replay(kept, send) if kept.digest == digest else _other_request().send(scope, send))
                return
            recorder = _Recorder(send)
            await self._app(scope, _replayed(body, receive), recorder.send)
            answer = recorder.answer(digest)
            if answer is not None:
                await run_in_threadpool(self._keeper.keep, *name, answer)
            # Its end goes out when the answer is kept: whoever has seen it may send the request again.
            await recorder.finish()
        finally:
            self._begun.discard(name)


def digest_of(scope: Scope, body: bytes) -> str:
    """Return what two requests under one key have in common if they are the same request."""
    content_type = b",".join(value for name, value in scope["headers"] if name == b"content-type")
    head = (scope["method"].encode(), scope["path"].encode("utf-8", "surrogatepass"), scope["query_string"])
    hashed = hashlib.sha256()
    for part in (*head, content_type, body):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()


class _Recorder:
    """Passes an answer on, all but the message that ends it, and remembers it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._last: Message | None = None
        self._body = b""
        self._whole = True

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._whole = self._whole and len(self._body) + len(message.get("body", b"")) <= MAX_KEPT_BYTES
            self._body += message.get("body", b"") if self._whole else b""
            if not message.get("more_body", False):
                self._last = message
                return
        await self._send(message)

    def answer(self, digest: str) -> KeptAnswer | None:
        if self._start is None or self._last is None or not self._whole or not 200 <= self._start["status"] < 300:
            return None
        headers = {name.lower(): value for name, value in self._start.get("headers", ())}
        if b"no-store" in headers.get(b"cache-control", b""):
            return None
        media_type = headers.get(b"content-type", b"").decode("latin-1")
        return KeptAnswer(digest, self._start["status"], media_type, self._body)

    async def finish(self) -> None:
        if self._last is not None:
            await self._send(self._last)


async def _read(receive: Receive) -> bytes | None:
    """Return the body, whose length is limited further out; None if the sender has left."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


async def _replay(kept: KeptAnswer, send: Send) -> None:
    headers = [
        (b"content-type", kept.media_type.encode("latin-1")),
        (b"content-length", str(len(kept.body)).encode()),
        (b"idempotency-replayed", b"true"),
    ]
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body})


def _malformed() -> Refusal:
    detail = f"send one {HEADER} of 1 to {MAX_KEY_LENGTH} visible ASCII characters"
    return Refusal(400, "idempotency-key", "The Idempotency-Key is wrong", detail, HEADER, close=True)


def _other_request() -> Refusal:
    detail = f"this {HEADER} was sent with another request; a new request takes a new key"
    return Refusal(422, "idempotency-key-reused", "The Idempotency-Key is another request's", detail, HEADER)


def _in_progress() -> Refusal:
    detail = f"the request with this {HEADER} is still being worked on; send it again in a moment"
    return Refusal(409, "idempotency-in-progress", "The request is being worked on", detail, HEADER, retry_after=1)
