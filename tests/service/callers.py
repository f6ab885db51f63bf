"""Who may make a call of the operator, as arguments of a test client."""

import re
from typing import Any

from atomic_margin.service.operator.web.access import TABLE
from atomic_margin.service.protocol.signing import Identity

from .documents import FUND
from .world import World


def of_path(template: str, **values: str) -> str:
    """Fill in a route's path: names of institutions, then whatever is there."""
    filled = {"institution": FUND, "run_id": f"{FUND}.1", "function": "breach", **values}
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda name: filled.get(name[1], "1"), template)


def entitled(world: World, method: str, template: str, name: str = FUND, source: Identity | None = None) -> Any:
    """Return what makes a call one that is let through: a signature, a token, or nothing where anybody may call."""
    access = TABLE[method, template]
    if access.anybody:
        return {}
    if access.sources:
        return {"auth": world.signed_by(source or world.source)}
    return {"auth": world.auth(name)} if access.institution else {"headers": world.admin}
