"""The operator's own call about collateral that has matured."""

from fastapi import APIRouter

from atomic_margin.service.operator.accounts import maturities
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.protocol.maturity_messages import Matured, MaturedPools


def maturities_router(operator: Operator) -> APIRouter:
    """Return the call."""
    router = APIRouter(prefix="/v1", tags=["operator"])

    @router.post("/maturities", status_code=201)
    def mature(matured: Matured) -> MaturedPools:
        """Book the cash that came in for an asset that has matured, in every account that has some of it.

        Once more books nothing twice. An account with an open run waits: ask again after it.
        """
        return MaturedPools(matured=maturities.mature(operator, matured.asset))

    return router
