"""The operator's event streams: an account's entries for its institution, the log for everybody."""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from atomic_margin.documents.fields import MAX_COUNTER
from atomic_margin.service.errors import Conflict, KeyReplaced, TooManyStreams
from atomic_margin.service.http import problems
from atomic_margin.service.http.events import MEDIA_TYPE, Seats, Source, Stream, place
from atomic_margin.service.http.peers import peer_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.staff import Scope
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.web.callers import SIGNED
from atomic_margin.service.operator.web.dependencies import Calling
from atomic_margin.service.operator.web.live import AccountSource, Live, LogSource

OF_INSTITUTIONS = (4, 1024)
"""Streams of one institution, and of all of them."""
OF_STAFF = (16, 16)
OF_ANYBODY = (4, 128)
"""Streams of one address, and of all that show no token."""
AGAIN_SECONDS = 30
"""After which whoever found no seat is to ask again."""

_SEEN = "id of the last event that was seen"
LastEntry = Annotated[str | None, Header(alias="Last-Event-ID", pattern="^(0|[1-9][0-9]{0,17})$", description=_SEEN)]
LastLeaf = Annotated[str | None, Header(alias="Last-Event-ID", pattern="^(-1|0|[1-9][0-9]{0,17})$", description=_SEEN)]

_EVENT: dict[str, Any] = {
    "description": "One event of the stream: its data is JSON in a text, its id a number.",
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "events, as they happen", "content": {MEDIA_TYPE: {"schema": _EVENT}}}
}
_log = logging.getLogger(__name__)


def events_router(operator: Operator, live: Live) -> APIRouter:
    """Return the streams, which `live` wakes."""
    router = APIRouter(responses=_STREAM)
    institutions, staff, anybody = Seats(*OF_INSTITUTIONS), Seats(*OF_STAFF), Seats(*OF_ANYBODY)

    def opened(request: Request, source: Source, seats: Seats, caller: str) -> Response:
        try:
            seats.take(caller)
        except TooManyStreams as error:
            _log.info("no event stream for %s: %s", caller, error)
            refusal = problems.problem(request, error.status, error.slug, error.title, str(error), None)
            refusal.headers["Retry-After"] = str(AGAIN_SECONDS)
            return refusal
        follow = MEDIA_TYPE in request.headers.get("accept", "")
        return Stream(source, live.wakes, seats, caller, follow=follow)

    @router.get("/v1/institutions/{institution}/events", response_class=Response, tags=["institution"])
    async def account_events(
        request: Request,
        institution: Annotated[str, Path(max_length=64)],
        calling: Calling,
        after: Annotated[int | None, Query(ge=0, le=MAX_COUNTER)] = None,
        last_event_id: LastEntry = None,
    ) -> Response:
        """Entries of an account as they are made: number, kind, hashes, and the deadline of a recorded run.

        It goes on after `Last-Event-ID`, or else `after`, or else from now on; every entry has its number as `id`.
        `reminder` has none: a run has no answer after 50 or 90 % of its time. Without `Accept: text/event-stream` it
        ends as soon as it has given what there is.
        """
        wanted = place(last_event_id, after, 0)
        signed = None if calling.is_staff else request.scope.get(SIGNED)
        key = None if signed is None else signed.key
        start, newest = await asyncio.to_thread(_start_of_account, operator, institution, wanted, key)
        source = AccountSource(live, operator, institution, start, None if calling.is_staff else newest)
        seats, caller = (staff, "the operator's staff") if calling.is_staff else (institutions, institution)
        return opened(request, source, seats, caller)

    @router.get("/v1/events", response_class=Response, tags=["public"])
    async def log_events(
        request: Request,
        calling: Calling,
        after: Annotated[int | None, Query(ge=-1, le=MAX_COUNTER)] = None,
        last_event_id: LastLeaf = None,
    ) -> Response:
        """Leaves of the log as they are appended, each as the tiles have it, with its number as `id`.

        It goes on after `Last-Event-ID`, or else `after` (-1 for all), or else from now on. The operator's people are
        told whose an entry is, and get reminders of runs that have no answer after 50 or 90 % of their time. Without
        `Accept: text/event-stream` it ends as soon as it has given what there is.
        """
        names = Scope.READ in calling.scopes
        wanted = place(last_event_id, after, -1)
        start = await asyncio.to_thread(_start_of_log, operator, wanted)
        source = LogSource(live, operator, start, names=names)
        seats, caller = (staff, "the operator's staff") if names else (anybody, peer_of(request.scope))
        return opened(request, source, seats, caller)

    return router


def _start_of_account(
    operator: Operator, institution: str, wanted: int | None, key: str | None = None
) -> tuple[int, int]:
    """Return after which entry a stream goes on, and the account's last one.

    Raises:
        Conflict: there is no such entry.
        KeyReplaced: the key that asks for it was replaced since it was let in: its stream would have no end.
    """
    account = operator.account(institution)
    newest = account.entries
    if key is not None and account.identity != key:
        raise KeyReplaced("the key that signed was replaced; sign with the one that took its place")
    if wanted is not None and wanted > newest:
        raise Conflict(f"the account has {newest} entries, and {wanted} were seen", "after")
    return (newest if wanted is None else wanted), newest


def _start_of_log(operator: Operator, wanted: int | None) -> int:
    """Return after which leaf a stream goes on."""
    with operator.store.reading() as session:
        newest = log.size(session) - 1
    if wanted is not None and wanted > newest:
        raise Conflict(f"the log has {newest + 1} leaves, and number {wanted} was seen", "after")
    return newest if wanted is None else wanted
