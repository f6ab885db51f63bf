"""Who calls: found out once for a request, at the outermost of its middleware, and asked for by all that counts."""

from starlette.types import Scope

_KEY = "atomic_margin.caller"
_STRANGER = "peer/"


def set_caller(scope: Scope, name: str) -> None:
    """Note who calls."""
    scope[_KEY] = name


def caller_of(scope: Scope) -> str:
    """Return who calls: the name of somebody who is known, or `peer/ADDRESS`."""
    name = scope.get(_KEY)
    return f"{_STRANGER}unknown" if name is None else str(name)


def is_stranger(name: str) -> bool:
    """Return whether a caller showed nothing that says who it is."""
    return name.startswith(_STRANGER)
