"""Who calls the operator's HTTP face, and whether a body is taken from them: asked before any of it is read.

`Callers` is what the edge (`web.edge`) asks. It does not stand in for the checks of the calls themselves, which follow.
"""

import hashlib
import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from starlette.types import Scope

from atomic_margin.service.http.refusals import Refusal
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.tables import Account, ReaderRow

STAFF = "operator"
REMEMBERED = 4096
REMEMBERED_SECONDS = 5.0

_INSTITUTION = re.compile(r"/v1/institutions/([^/]+)(?:/.*)?")
_TAKES_BODY = frozenset({"POST", "PUT", "PATCH"})
_TOKEN = re.compile(rb"[Bb]earer +([\x21-\x7e]{1,128})")


class Callers:
    """The callers of one operator."""

    def __init__(self, operator: Operator, paths: Callable[[], dict[str, dict[str, Any]]]) -> None:
        """`paths` are those of the OpenAPI document, whose tags say which calls are the operator's own."""
        self._operator, self._paths = operator, paths
        self._own: list[tuple[str, re.Pattern[str]]] | None = None
        self._names: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._admitted: OrderedDict[str, None] = OrderedDict()

    def name_of(self, scope: Scope) -> str:
        """Return the name of who calls: `operator`, `institution/NAME`, `reader/INSTITUTION/NAME`, or `peer/ADDRESS`.

        A name is only of somebody who showed a token that opens something; everybody else is an address.
        """
        token = _token(scope)
        named = None if token is None else self._named(token)
        return f"peer/{peer_of(scope)}" if named is None else named

    def admit(self, scope: Scope, caller: str) -> Refusal | None:
        """Refuse a body of somebody who can have no business here; return None where it is taken."""
        if scope["method"] not in _TAKES_BODY:
            return None
        if self.is_own(scope["method"], scope["path"]) and caller != STAFF:
            detail = "this is for the operator: send `Authorization: Bearer` with the token in admin.token"
            return Refusal(401, "not-authorised", "A valid token is needed", detail, close=True)
        path = _INSTITUTION.fullmatch(scope["path"])
        if path is not None and not self._is_admitted(path[1]):
            detail = f"institution {path[1][:64]!r} is not admitted here; ask the operator to admit it"
            return Refusal(404, "not-found", "Nothing is there", detail, close=True)
        return None

    def is_own(self, method: str, path: str) -> bool:
        """Return whether a call is one of the operator's own."""
        if self._own is None:
            self._own = [
                (name.upper(), re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path_))))
                for path_, methods in self._paths().items()
                for name, route in methods.items()
                if "operator" in route.get("tags", ())
            ]
        return any(name == method and own.fullmatch(path) for name, own in self._own)

    def _is_admitted(self, institution: str) -> bool:
        if institution in self._admitted:
            return True
        with self._operator.store.unit_of_work() as session:
            found = session.get(Account, institution) is not None
        if found:
            self._admitted[institution] = None
            if len(self._admitted) > REMEMBERED:
                self._admitted.popitem(last=False)
        return found

    def _named(self, token: str) -> str | None:
        if self._operator.is_admin(token):
            return STAFF
        hashed = hashlib.sha256(token.encode()).hexdigest()
        known = self._names.get(hashed)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        with self._operator.store.unit_of_work() as session:
            own = session.scalar(select(Account.institution).where(Account.token_sha256 == hashed))
            reader = session.scalars(select(ReaderRow).where(ReaderRow.token_sha256 == hashed)).first()
        name = None if reader is None else f"reader/{reader.institution}/{reader.name}"
        name = name if own is None else f"institution/{own}"
        self._names[hashed] = (time.monotonic() + REMEMBERED_SECONDS, name)
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)
        return name


def peer_of(scope: Scope) -> str:
    """Return the address that a request comes from; of an IPv6 one the /64, which one sender has whole."""
    client = scope.get("client")
    host = "unknown" if client is None else str(client[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    mapped = address.ipv4_mapped
    return str(ipaddress.ip_network((int(address), 64), strict=False)) if mapped is None else str(mapped)


def _token(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            match = _TOKEN.fullmatch(value)
            return None if match is None else match[1].decode("ascii")
    return None
