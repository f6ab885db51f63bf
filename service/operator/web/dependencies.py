"""What the calls of the operator's HTTP face take from a request: JSON from outside, and who is calling.

Who is calling is found out before the body is read (`callers`), and whether it may is for one table (`access`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from atomic_margin.service.errors import NotAuthorised, NotPermitted
from atomic_margin.service.http.strict_json import parsed_body
from atomic_margin.service.operator.staff import Scope

CALLER = "atomic_margin.who"
"""Where an ASGI scope has the caller."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request. One key may be several at once: an institution can be a reader of another.

    Attributes:
        name: for logs, and to keep callers apart: its kind, and its name or key. Nothing secret.
        institution: the institution whose identity key signed, if one's did.
        reads: institutions that named the caller a reader of their bundles.
        scopes: what it may do as one of the operator's staff.
        source: whether a price source's key signed; asked for only where prices are taken.
        custody: institutions whose custody policy names the key; asked for only where custodians call.
        key: that signed, where custodians call.
    """

    name: str
    institution: str | None = None
    reads: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    source: bool = False
    custody: frozenset[str] = frozenset()
    key: str = ""

    @property
    def is_staff(self) -> bool:
        """Whether it is one of the operator's staff."""
        return bool(self.scopes)

    @property
    def readable(self) -> frozenset[str]:
        """Institutions whose bundles it may read, besides as one of the staff."""
        return self.reads if self.institution is None else self.reads | {self.institution}

    def require_scope(self, scope: Scope) -> None:
        """Make sure that it is one of the staff, with a scope.

        Raises:
            NotAuthorised: it is somebody else.
            NotPermitted: its key has other scopes.
        """
        if not self.is_staff:
            raise NotAuthorised(
                "this is for the operator: send `Authorization: Bearer` with the token in admin.token, or one of "
                "`atomic-margin operator key new`"
            )
        if scope not in self.scopes:
            raise NotPermitted(f"{self.name} has no scope {str(scope)!r}; take a key that has, or have one made")


STRANGER = Caller("stranger")


def caller_of(request: Request) -> Caller:
    """Return who sent a request."""
    caller: Caller = request.scope.get(CALLER, STRANGER)
    return caller


def require_scope(scope: str) -> Callable[[Request], None]:
    """Return a dependency that lets through who is of the staff and has a scope."""
    wanted = Scope(scope)

    def required(request: Request) -> None:
        caller_of(request).require_scope(wanted)

    return required


JsonBody = Annotated[Any, Depends(parsed_body)]
Calling = Annotated[Caller, Depends(caller_of)]
