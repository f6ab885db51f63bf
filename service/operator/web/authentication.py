"""Who is calling the operator, found out before a body is read: ASGI middleware around its whole HTTP face.

A request that may not be made is refused by its headers alone. The body of one that is signed is hashed as it streams
in, and its end is handed on only if it is the body that was signed.
"""

import hashlib
import logging
from collections.abc import Sequence

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atomic_margin.service.errors import BodyDiffers, ConfigurationError, NotAuthorised, RequestError
from atomic_margin.service.http import problems
from atomic_margin.service.http.replays import Replays
from atomic_margin.service.http.signatures import EPOCH_HEADER, Received, Signed, check, check_digest
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.rules import in_force
from atomic_margin.service.operator.staff import ALL_SCOPES, BOOTSTRAP, StaffKey
from atomic_margin.service.operator.store.market_chain import newest_tick
from atomic_margin.service.operator.store.tables import Account, ReaderRow
from atomic_margin.service.operator.web.access import ANYBODY, NOT_LISTED, Access, access_of, require
from atomic_margin.service.operator.web.callers import peer_of
from atomic_margin.service.operator.web.dependencies import CALLER, STRANGER, Caller
from atomic_margin.service.protocol.ticks import PriceTick

SIGNED = "atomic_margin.signed"
"""Where an ASGI scope has the signature of a request, if it has one."""
REFUSED = "atomic_margin.refused"
"""Where an ASGI scope has what is wrong with the signature of a request, if anything is."""

_log = logging.getLogger(__name__)


class Callers:
    """Finds out who calls an operator, and whether they may."""

    def __init__(self, operator: Operator, routes: Sequence[BaseRoute], replays: Replays | None = None) -> None:
        """`routes` are those that the application has, for what the table of `access` does not."""
        self._operator, self._routes = operator, routes
        self.replays = replays or Replays()
        self._said = ""

    def identify(self, scope: Scope) -> Caller:
        """Return who calls, and note it in the scope. Where anybody may, nobody is asked who they are.

        Raises:
            NotAuthorised: a signature does not hold, or is of a key that is not known here.
            TooManyRequests: the key signs too many.
        """
        scope[CALLER] = caller = self._found(scope)
        return caller

    def counted_as(self, scope: Scope) -> str:
        """Return what a request counts as: its caller's name or, of whoever has none, the address it comes from.

        What is wrong with a signature is noted in the scope, for `Authentication` to refuse it by.
        """
        try:
            caller = self.identify(scope)
        except RequestError as error:
            scope[CALLER], scope[REFUSED] = STRANGER, error
            caller = STRANGER
        return f"peer/{peer_of(scope)}" if caller == STRANGER else caller.name

    def admit(self, scope: Scope) -> None:
        """Make sure that who was identified may make the call.

        Raises:
            NotAuthorised, NotPermitted: it may not.
        """
        access, named = self._access(scope)
        require(self._operator, access, named, scope[CALLER])

    def _access(self, scope: Scope) -> tuple[Access, dict[str, str]]:
        found = access_of(scope["method"], scope["path"])
        if found is not None:
            return found
        # What there is not, is for the application to say.
        listed = any(route.matches(scope)[0] == Match.FULL for route in self._routes)
        return (NOT_LISTED if listed else ANYBODY), {}

    def _found(self, scope: Scope) -> Caller:
        access, _ = self._access(scope)
        if access.anybody:
            return STRANGER
        received = received_of(scope)
        if not received.is_signed:
            return self.by_token(received.headers.get("authorization", ""))
        signed = check(received, self._operator.identity.public_key)
        caller = self.by_key(signed.key, source=access.sources)
        self.replays.take(signed)
        scope[SIGNED] = signed
        return caller

    def by_key(self, key: str, *, source: bool) -> Caller:
        """Return whose key it is; `source` also asks whether it is a price source's.

        Raises:
            NotAuthorised: it is nobody's that is known here.
        """
        operator = self._operator
        with operator.store.unit_of_work() as session:
            institution = session.scalar(select(Account.institution).where(Account.identity == key))
            reads = frozenset(session.scalars(select(ReaderRow.institution).where(ReaderRow.public_key == key)))
            is_source = False
            if source:
                row = newest_tick(session)
                last = None if row is None else PriceTick.parse(row.document["body"])
                is_source = key in in_force(operator, session, last).rules.sources
        if institution is None and not reads and not is_source:
            raise NotAuthorised("the key that signed is not known here; sign with the one that the operator enrolled")
        kind = "source" if is_source else "reader"
        name = f"{kind} {key}" if institution is None else f"institution {institution}"
        return Caller(name, institution=institution, reads=reads, source=is_source)

    def by_token(self, authorization: str) -> Caller:
        """Return whose bearer token it is, or a stranger."""
        kind, _, token = authorization.partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            return STRANGER
        operator = self._operator
        if operator.is_admin(token):
            return Caller(f"staff {BOOTSTRAP}", scopes=ALL_SCOPES)
        staff = self._staff(token)
        if staff is not None:
            return Caller(f"staff {staff.name}", scopes=staff.may)
        hashed = hashlib.sha256(token.encode()).hexdigest()
        with operator.store.unit_of_work() as session:
            reads = frozenset(session.scalars(select(ReaderRow.institution).where(ReaderRow.token_sha256 == hashed)))
        return Caller(f"reader {hashed[:16]}", reads=reads) if reads else STRANGER

    def _staff(self, token: str) -> StaffKey | None:
        """Return the key of the staff that a token is of; a file that is broken has none, and is named once."""
        try:
            return self._operator.staff.of(token)
        except ConfigurationError as error:
            if self._said != str(error):
                self._said = str(error)
                _log.error("no key of the staff opens anything but the one in admin.token: %s", error)
            return None


class Authentication:
    """Lets a request through to who may make it, with the caller in its scope."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        """Guard an application."""
        self._app, self._callers = app, callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at who calls, then hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def telling(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                epoch = (EPOCH_HEADER.lower().encode(), self._callers.replays.epoch.encode())
                message = {**message, "headers": [*message.get("headers", []), epoch]}
            await send(message)

        try:
            await run_in_threadpool(self._let_in, scope)
        except RequestError as error:
            _log.debug("%s %s refused: %s", scope["method"], scope["path"], error)
            await _refuse(error, scope, receive, telling)
            return
        signed = scope.get(SIGNED)
        try:
            await self._app(scope, receive if signed is None else _hashed(receive, signed), telling)
        except _OtherBody as other:
            if not started:
                await _refuse(other.error, scope, receive, telling)

    def _let_in(self, scope: Scope) -> None:
        error = scope.get(REFUSED)
        if error is not None:
            raise error
        if CALLER not in scope:
            self._callers.identify(scope)
        self._callers.admit(scope)


def received_of(scope: Scope) -> Received:
    """Return a request as it was sent; path and query are not decoded."""
    lines = list(scope["headers"])
    host = next((value.decode("latin-1") for name, value in lines if name == b"host"), "")
    query = scope.get("query_string", b"")
    path = scope.get("raw_path") or scope["path"].encode()
    url = f"{scope.get('scheme', 'http')}://{host}{path.decode('latin-1')}"
    return Received(scope["method"], url + (f"?{query.decode('latin-1')}" if query else ""), lines)


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


async def _refuse(error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problems.problem(Request(scope), error.status, error.slug, error.title, str(error), error.field)
    if error.status == NotAuthorised.status:
        response.headers["WWW-Authenticate"] = "Bearer"
    await response(scope, receive, send)


class _OtherBody(BaseException):
    """Passes through the framework's handlers of ordinary exceptions."""

    def __init__(self, error: BodyDiffers) -> None:
        super().__init__()
        self.error = error
