"""The lists of accounts and runs in the operator's API: for its staff, with the scope `read`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.staff import Scope
from atomic_margin.service.operator.web import overviews
from atomic_margin.service.operator.web.dependencies import require_scope
from atomic_margin.service.protocol.overview_messages import AccountLines, RunLines
from atomic_margin.service.protocol.rail_messages import RailView

_NAME = r"^[A-Za-z0-9_-]{0,64}$"


def lists_router(operator: Operator) -> APIRouter:
    """Return the calls."""
    router = APIRouter(prefix="/v1", tags=["operator"], dependencies=[Depends(require_scope(Scope.READ))])

    @router.get("/accounts")
    def accounts(
        after: Annotated[str, Query(pattern=_NAME)] = "",
        limit: Annotated[int, Query(ge=1, le=overviews.MOST_ACCOUNTS)] = overviews.MOST_ACCOUNTS,
    ) -> AccountLines:
        """Accounts by name, those after one: state, collateral, open run and its deadline."""
        return overviews.accounts(operator, after, limit)

    @router.get("/runs")
    def runs(
        institution: Annotated[str | None, Query(pattern=_NAME)] = None,
        limit: Annotated[int, Query(ge=1, le=overviews.MOST_RUNS)] = overviews.MOST_RUNS,
    ) -> RunLines:
        """The newest runs, of all accounts or of one, the newest ticks first."""
        return overviews.runs(operator, institution, limit)

    @router.get("/rail")
    def rail() -> RailView:
        """What carries settlements out: the ledger, or a chain with the state of the newest settlements there."""
        with operator.store.reading() as session:
            return operator.rail.view(session)

    return router
