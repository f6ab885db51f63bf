"""Amendments of agreements and custody in the operator's HTTP face: the institution's calls, and the operator's own."""

from fastapi import APIRouter

from atomic_margin.service.operator.accounts import agreements
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.web import examples
from atomic_margin.service.operator.web.dependencies import JsonBody
from atomic_margin.service.protocol.agreement_messages import AmendmentAgreed, AmendmentRequest
from atomic_margin.service.protocol.signing import SignedDocument


def amendments_router(operator: Operator) -> APIRouter:
    """Return the calls of institutions about the amendment of their agreement, or of custody."""
    router = APIRouter(prefix="/v1/institutions/{institution}/amendment", tags=["institution"])

    @router.post("", status_code=202, openapi_extra=examples.signed_json("agreement-amendment"))
    def ask_to_amend(institution: str, document: JsonBody) -> AmendmentRequest:
        """Ask for other terms of collateral, or other custodians; the operator's people agree, or do not."""
        return agreements.ask(operator, institution, document)

    @router.get("")
    def asked_to_amend(institution: str) -> AmendmentRequest:
        """What the institution asks to amend, and whether it still can be."""
        return agreements.asked(operator, operator.account(institution).institution)

    return router


def agreements_router(operator: Operator) -> APIRouter:
    """Return the operator's own call about amendments."""
    router = APIRouter(prefix="/v1/amendments", tags=["operator"])

    @router.post("", status_code=201)
    def agree_to_amend(agreed: AmendmentAgreed) -> SignedDocument:
        """Agree to what an institution signed to amend; returns the signed entry."""
        return agreements.agree(operator, agreed.institution, agreed.amendment)

    return router
