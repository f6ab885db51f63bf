"""Disputes in the operator's HTTP face: the institution's calls, and the operator's own."""

from fastapi import APIRouter

from atomic_margin.service.operator.accounts import disputes
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.web import examples
from atomic_margin.service.operator.web.dependencies import JsonBody
from atomic_margin.service.protocol.dispute_messages import AccountDisputes, Lapsed, OpenDisputes, Proposed, Resolved
from atomic_margin.service.protocol.signing import SignedDocument


def disputes_router(operator: Operator) -> APIRouter:
    """Return the calls of institutions about their own disputes."""
    router = APIRouter(prefix="/v1/institutions/{institution}/disputes", tags=["institution"])

    @router.post("", status_code=201, openapi_extra=examples.signed_json("dispute"))
    def dispute(institution: str, document: JsonBody) -> SignedDocument:
        """Dispute an entry of one's own account, which holds whatever would leave it; returns the signed entry."""
        return disputes.dispute(operator, institution, document)

    @router.post("/withdrawal", status_code=201, openapi_extra=examples.signed_json("dispute-withdrawal"))
    def withdraw(institution: str, document: JsonBody) -> SignedDocument:
        """Withdraw one's open dispute; returns the signed entry."""
        return disputes.withdraw(operator, institution, document)

    @router.post("/resolution", status_code=202, openapi_extra=examples.signed_json("dispute-resolution"))
    def offer(institution: str, document: JsonBody) -> AccountDisputes:
        """Offer what ends one's open dispute; the operator's people agree, or do not."""
        return disputes.offer(operator, institution, document)

    @router.get("")
    def account_disputes(institution: str) -> AccountDisputes:
        """The open dispute of an account with what may end it, and what happened to those before."""
        return disputes.shown(operator, operator.account(institution).institution)

    return router


def resolutions_router(operator: Operator) -> APIRouter:
    """Return the operator's own calls about disputes."""
    router = APIRouter(prefix="/v1/disputes", tags=["operator"])

    @router.get("")
    def open_disputes() -> OpenDisputes:
        """Every dispute that holds an account."""
        return disputes.all_open(operator)

    @router.post("/proposals", status_code=201)
    def propose(proposed: Proposed) -> AccountDisputes:
        """Say what the operator would agree to; the institution sees it, and nobody is bound."""
        return disputes.propose(operator, proposed.institution, proposed.dispute, proposed)

    @router.post("/resolutions", status_code=201)
    def agree(resolved: Resolved) -> SignedDocument:
        """Agree to what an institution offered to end its dispute by; returns the signed entry."""
        return disputes.agree(operator, resolved.institution, resolved.resolution)

    @router.post("/lapses", status_code=201)
    def lapse(lapsed: Lapsed) -> SignedDocument:
        """End a dispute that stood for the longest time, by the time of prices; returns the signed entry."""
        return disputes.lapse(operator, lapsed.institution, lapsed.dispute)

    return router
