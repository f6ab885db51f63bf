"""Who calls the operator's HTTP face, and whether they may: asked before any of a body is read.

`Callers` is what the edge (`web.edge`) asks; the table that says who may make which call is `access`.
"""

import hashlib
import logging
from collections.abc import Sequence

from sqlalchemy import select
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from atomic_margin.service.errors import (
    ConfigurationError,
    KeyReplaced,
    KeyUnknown,
    NotAuthorised,
    RequestError,
    TooManyRequests,
)
from atomic_margin.service.http.peers import peer_of
from atomic_margin.service.http.refusals import Refusal
from atomic_margin.service.http.replays import Replays
from atomic_margin.service.http.signatures import Received, check
from atomic_margin.service.operator.custody.policies import accounts_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.rules import in_force
from atomic_margin.service.operator.staff import ALL_SCOPES, BOOTSTRAP, StaffKey
from atomic_margin.service.operator.store import behind
from atomic_margin.service.operator.store.market_chain import newest_tick
from atomic_margin.service.operator.store.tables import Account, ReaderRow, ReplacedKey
from atomic_margin.service.operator.web.access import ANYBODY, NOT_LISTED, Access, access_of, harmless, require
from atomic_margin.service.operator.web.dependencies import CALLER, STRANGER, Caller
from atomic_margin.service.protocol.ticks import PriceTick

SIGNED = "atomic_margin.signed"
"""Where an ASGI scope has the signature of a request, if it has one that holds."""
_REFUSED = "atomic_margin.refused"

_log = logging.getLogger(__name__)


class Callers:
    """Finds out who calls an operator, and whether they may."""

    def __init__(self, operator: Operator, routes: Sequence[BaseRoute], replays: Replays | None = None) -> None:
        """`routes` are those that the application has, for what the table of `access` does not."""
        self._operator, self._routes = operator, routes
        self.replays = replays or Replays()
        self._said = ""

    def name_of(self, scope: Scope) -> str:
        """Identify who calls, and return the name, or `peer/ADDRESS` of whoever is a stranger."""
        try:
            caller = self.identify(scope)
        except RequestError as error:
            # Said by `admit`, which is asked next; until then the peer is counted.
            scope[CALLER], scope[_REFUSED] = STRANGER, error
            caller = STRANGER
        return f"peer/{peer_of(scope)}" if caller is STRANGER else caller.name

    def admit(self, scope: Scope, _: str) -> Refusal | None:
        """Return why a request is refused by its headers alone, or None where it is let in."""
        try:
            refused: RequestError | None = scope.get(_REFUSED)
            if refused is not None:
                raise refused
            self.require(scope)
        except RequestError as error:
            _log.debug("%s %s refused: %s", scope["method"], scope["path"], error)
            return self._refusal(error, scope)
        return None

    def _refusal(self, error: RequestError, scope: Scope) -> Refusal:
        headers = (("WWW-Authenticate", "Bearer"),) if error.status == NotAuthorised.status else ()
        return Refusal(
            error.status,
            error.slug,
            error.title,
            str(error),
            error.field,
            retry_after=1 if isinstance(error, TooManyRequests) else None,
            close=_has_body(scope),
            headers=headers,
        )

    def identify(self, scope: Scope) -> Caller:
        """Return who calls, and note it in the scope. Where anybody may, a signature that does not hold is none.

        Raises:
            NotAuthorised: a signature does not hold, or is of a key that is not known here.
            TooManyRequests: the key signs too many.
        """
        scope[CALLER] = caller = self._found(scope)
        return caller

    def require(self, scope: Scope) -> None:
        """Make sure that who was identified may make the call.

        Raises:
            NotAuthorised, NotPermitted: it may not.
            AccountHeld: its account is held, and the call may do harm if somebody else has its key.
        """
        access, named = self._access(scope)
        caller: Caller = scope[CALLER]
        require(self._operator, access, named, caller)
        if caller.institution is not None and not access.anybody and not harmless(scope["method"], scope["path"]):
            self._operator.holds.require_open(caller.institution, scope[SIGNED].key)

    def _access(self, scope: Scope) -> tuple[Access, dict[str, str]]:
        found = access_of(scope["method"], scope["path"])
        if found is not None:
            return found
        # What there is not, is for the application to say.
        listed = any(route.matches(scope)[0] == Match.FULL for route in self._routes)
        return (NOT_LISTED if listed else ANYBODY), {}

    def _found(self, scope: Scope) -> Caller:
        access, _ = self._access(scope)
        received = received_of(scope)
        if access.anybody:
            # An institution that reads what is public counts as itself, not as its address, and so does the staff.
            try:
                if not received.is_signed:
                    return self.by_token(received.headers.get("authorization", ""))
                return self._signed(scope, received, access)
            except RequestError:
                return STRANGER
        if not received.is_signed:
            return self.by_token(received.headers.get("authorization", ""))
        return self._signed(scope, received, access)

    def _signed(self, scope: Scope, received: Received, access: Access) -> Caller:
        signed = check(received, self._operator.identity.public_key)
        try:
            caller = self.by_key(signed.key, source=access.sources, custodian=access.custodians)
        except KeyUnknown:
            self._say_unknown(scope)
            raise
        self.replays.take(signed)
        scope[SIGNED] = signed
        return caller

    def _say_unknown(self, scope: Scope) -> None:
        """Have the log say that somebody signs for an account that there is, with a key that is nobody's."""
        institution = self._access(scope)[1].get("institution")
        if institution is None:
            return
        with self._operator.store.reading() as session:
            known = session.get(Account, institution) is not None
        if known:
            behind.say_unknown(institution)

    def by_key(self, key: str, *, source: bool, custodian: bool = False) -> Caller:
        """Return whose key it is; `source` also asks whether it is a price source's, `custodian` a custodian's.

        Raises:
            KeyReplaced, KeyUnknown: it is nobody's that is known here.
        """
        operator = self._operator
        with operator.store.reading() as session:
            if session.get(ReplacedKey, key) is not None:
                # Whoever names it a reader, or a source: it is not its institution's alone any more.
                raise KeyReplaced("the key that signed was replaced; sign with the one that took its place")
            institution = session.scalar(select(Account.institution).where(Account.identity == key))
            reads = frozenset(session.scalars(select(ReaderRow.institution).where(ReaderRow.public_key == key)))
            is_source = False
            custody = accounts_of(session, key) if custodian else frozenset[str]()
            if source:
                row = newest_tick(session)
                last = None if row is None else PriceTick.parse(row.document["body"])
                is_source = key in in_force(operator, session, last).rules.sources
        if institution is None and not reads and not is_source and not custody:
            raise KeyUnknown("the key that signed is not known here; sign with the one that the operator enrolled")
        kind = "source" if is_source else "custodian" if custody else "reader"
        name = f"{kind}/{key}" if institution is None else f"institution/{institution}"
        return Caller(name, institution=institution, reads=reads, source=is_source, custody=custody, key=key)

    def by_token(self, authorization: str) -> Caller:
        """Return whose bearer token it is, or a stranger."""
        kind, _, token = authorization.partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            return STRANGER
        operator = self._operator
        if operator.is_admin(token):
            return Caller(f"staff/{BOOTSTRAP}", scopes=ALL_SCOPES)
        staff = self._staff(token)
        if staff is not None:
            return Caller(f"staff/{staff.name}", scopes=staff.may)
        hashed = hashlib.sha256(token.encode()).hexdigest()
        with operator.store.reading() as session:
            reads = frozenset(session.scalars(select(ReaderRow.institution).where(ReaderRow.token_sha256 == hashed)))
        return Caller(f"reader/{hashed[:16]}", reads=reads) if reads else STRANGER

    def _staff(self, token: str) -> StaffKey | None:
        """Return the key of the staff that a token is of; a file that is broken has none, and is named once."""
        try:
            return self._operator.staff.of(token)
        except ConfigurationError as error:
            if self._said != str(error):
                self._said = str(error)
                _log.error("no key of the staff opens anything but the one in admin.token: %s", error)
            return None


def received_of(scope: Scope) -> Received:
    """Return a request as it was sent; path and query are not decoded."""
    lines = list(scope["headers"])
    host = next((value.decode("latin-1") for name, value in lines if name == b"host"), "")
    query = scope.get("query_string", b"")
    path = scope.get("raw_path") or scope["path"].encode()
    url = f"{scope.get('scheme', 'http')}://{host}{path.decode('latin-1')}"
    return Received(scope["method"], url + (f"?{query.decode('latin-1')}" if query else ""), lines)


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in scope["headers"]
    )
