"""The universes in the operator's HTTP face: every revision, and what leads from one to another. Public."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from atomic_margin.service.operator.accounts import universes
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.protocol.messages import Revisions


def universes_router(operator: Operator) -> APIRouter:
    """Return the calls of an operator."""
    router = APIRouter(tags=["public"])

    @router.get("/v1/universes/{sha256}")
    def universe(sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Any:
        """A universe by its hash: the first one, or a revision of it."""
        return universes.universe_document(operator, sha256)

    @router.get("/v1/universes")
    def universe_revisions() -> Revisions:
        """The signed revisions of the universe, in order: what leads from the one in a trust file to the newest."""
        with operator.store.reading() as session:
            return Revisions.parse({"revisions": universes.revisions(session)})

    return router
