"""Whether an institution is admitted under an identity key, before it makes and uploads keys."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Path, Query

from atomic_margin.service.http.contract import PATH_PATTERNS
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.live_messages import Admitted

_KEY = Query(pattern="^[0-9a-f]{64}$", description="Ed25519 public key", examples=["d75a980182b10ab7" * 4])

_NAME = Path(pattern=PATH_PATTERNS["institution"])
"""What can be no name is refused: this call says nothing of whether there is one."""


def admission_router(operator: Operator) -> APIRouter:
    """Return the one call."""
    router = APIRouter(tags=["institution"])

    @router.get("/v1/institutions/{institution}/admission")
    def admission(institution: Annotated[str, _NAME], identity: Annotated[str, _KEY]) -> Admitted:
        """Whether that institution is admitted under that identity key. No token is needed, and no more is said.

        Whoever knows only one of the two learns nothing: an unknown name, and another key, get the same answer.
        """
        with operator.store.unit_of_work() as session:
            account = session.get(Account, institution)
        # 64 hex digits are never equal to the empty text.
        known = "" if account is None else account.identity
        return Admitted(admitted=hmac.compare_digest(known.encode(), identity.encode()))

    return router
