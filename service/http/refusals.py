"""Problem documents of the edge: what a request is refused with before the framework sees it.

For the ASGI middleware of this package and for what tells it whom to admit.
"""

import json
from dataclasses import dataclass

from starlette.types import Scope, Send

from atomic_margin.service.http.problems import MEDIA_TYPE


@dataclass(frozen=True)
class Refusal:
    """A problem document (RFC 9457) with the headers that go along.

    Attributes:
        status: HTTP status.
        slug: last part of the problem's type URN.
        title: what is wrong, for every case of it.
        detail: what is wrong here, and what to do.
        field: part of the request that is wrong, if one is.
        retry_after: seconds until it is worth asking again.
        close: end the connection: a body was not read, and must not be taken for the next request.
        headers: others.
    """

    status: int
    slug: str
    title: str
    detail: str
    field: str | None = None
    retry_after: int | None = None
    close: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    async def send(self, scope: Scope, send: Send) -> None:
        """Answer with it."""
        document = {
            "type": f"urn:atomic-margin:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": scope["path"],
        }
        if self.field is not None:
            document["field"] = self.field
        body = json.dumps(document).encode()
        headers = [("content-type", MEDIA_TYPE), ("content-length", str(len(body))), *self.headers]
        if self.retry_after is not None:
            headers.append(("retry-after", str(self.retry_after)))
        if self.close:
            headers.append(("connection", "close"))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
