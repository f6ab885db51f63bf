"""Openings and re-sharings in the operator's HTTP face: the calls of its own people."""

from fastapi import APIRouter

from atomic_margin.service.operator.custody import asking, openings, resharing_rows, resharings, standings
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import opened
from atomic_margin.service.protocol.custodian_messages import OpeningAsked, Openings, OpeningStanding
from atomic_margin.service.protocol.resharing_messages import ResharingAsked, Resharings, ResharingStanding


def openings_router(operator: Operator) -> APIRouter:
    """Return the operator's own calls about openings."""
    router = APIRouter(prefix="/v1/openings", tags=["operator"])

    @router.post("", status_code=201)
    def ask(asked: OpeningAsked) -> OpeningStanding:
        """Ask custodians to open the book of an account whose time to answer is over, and the policy's time too."""
        asking.require_late(operator, asked.institution)
        asking.require_new(operator, asked.institution)
        opened.require_openable(operator, asked.institution)
        return standings.standing(operator, openings.ask(operator, asked.institution).request)

    @router.get("")
    def openings_of_all() -> Openings:
        """Openings, over or not, the newest first."""
        return standings.all_of(operator)

    return router


def resharings_router(operator: Operator) -> APIRouter:
    """Return the operator's own calls about re-sharings."""
    router = APIRouter(prefix="/v1/resharings", tags=["operator"])

    @router.post("", status_code=201)
    def reshare(asked: ResharingAsked) -> ResharingStanding:
        """Ask custodians of a book to pass their shares on to those of the policy in force; or to make them anew."""
        return resharings.ask(operator, asked)

    @router.get("")
    def resharings_of_all() -> Resharings:
        """Re-sharings, over or not, the newest first."""
        return resharing_rows.all_of(operator)

    return router
