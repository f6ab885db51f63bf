"""The endpoint that shows, to anybody, that leaves are in the operator's log."""

from typing import Annotated

from fastapi import APIRouter, Query

from atomic_margin.service.errors import NotFound
from atomic_margin.service.log.tree import MAX_SIZE
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import checkpoints
from atomic_margin.service.protocol.evidence import MAX_LEAVES
from atomic_margin.service.protocol.messages import LogEvidence

LeafIndex = Annotated[int, Query(ge=0, lt=MAX_SIZE)]


def evidence_router(operator: Operator) -> APIRouter:
    """Return the route of an operator's evidence."""
    router = APIRouter(tags=["public"])

    @router.get("/v1/log/evidence")
    def evidence(leaf: Annotated[list[LeafIndex], Query(min_length=1, max_length=MAX_LEAVES)]) -> LogEvidence:
        """That up to 8 leaves, named by their numbers, are in the newest checkpoint with enough cosignatures."""
        with operator.store.reading() as session:
            found = checkpoints.evidence(session, leaf)
        if found is None:
            raise NotFound("no checkpoint with enough cosignatures holds these leaves yet; ask again", "leaf")
        return LogEvidence.parse({"evidence": found.canonical()})

    return router
