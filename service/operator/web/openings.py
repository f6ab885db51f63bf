"""Openings in the operator's HTTP face: the calls of its own people."""

from fastapi import APIRouter

from atomic_margin.service.operator.custody import openings, standings
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import opened
from atomic_margin.service.protocol.custodian_messages import OpeningAsked, Openings, OpeningStanding


def openings_router(operator: Operator) -> APIRouter:
    """Return the operator's own calls about openings."""
    router = APIRouter(prefix="/v1/openings", tags=["operator"])

    @router.post("", status_code=201)
    def ask(asked: OpeningAsked) -> OpeningStanding:
        """Ask custodians to open the book of an account whose time to answer is over."""
        opened.require_openable(operator, asked.institution)
        return standings.standing(operator, openings.ask(operator, asked.institution).request)

    @router.get("")
    def openings_of_all() -> Openings:
        """Openings, over or not, the newest first."""
        return standings.all_of(operator)

    return router
