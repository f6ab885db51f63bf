"""Calls about defaults and the guarantee fund: the operator's own, and those of an institution in default."""

from fastapi import APIRouter

from atomic_margin.service.operator.accounts import default_views, defaults
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.web import examples
from atomic_margin.service.operator.web.dependencies import JsonBody
from atomic_margin.service.protocol.default_messages import (
    AgreedLoss,
    ClosingOut,
    Contribution,
    DefaultView,
    LossOffered,
    Realisation,
)
from atomic_margin.service.protocol.messages import Booked
from atomic_margin.service.protocol.signing import SignedDocument


def defaults_router(operator: Operator) -> APIRouter:
    """Return the calls of both sides."""
    router = APIRouter(prefix="/v1")
    router.include_router(_own(operator))
    router.include_router(_institutions(operator))
    return router


def _own(operator: Operator) -> APIRouter:
    router = APIRouter(tags=["operator"])

    @router.post("/sales", status_code=201)
    def realise(sold: Realisation) -> SignedDocument:
        """Book one stage of a liquidation: a part of what is segregated was sold. Returns the signed entry."""
        quantity, proceeds = int(sold.quantity), int(sold.proceeds)
        return defaults.realise(operator, sold.institution, sold.asset, quantity, proceeds, sold.reference, sold.reason)

    @router.post("/fund", status_code=201)
    def contribute(arrived: Contribution) -> Booked:
        """Book cash that arrived for an institution's share in the guarantee fund, or for the operator's capital."""
        if arrived.institution is None:
            defaults.add_capital(operator, int(arrived.quantity), arrived.reference)
        else:
            defaults.contribute(operator, arrived.institution, int(arrived.quantity), arrived.reference)
        return Booked()

    @router.post("/losses", status_code=201)
    def agree(agreed: AgreedLoss) -> SignedDocument:
        """Agree to the loss that an institution in default signed; returns the signed entry."""
        return defaults.agree(operator, agreed.institution, agreed.agreement)

    @router.post("/close-outs", status_code=201)
    def close_out(closing: ClosingOut) -> SignedDocument:
        """End a default by the loss that both sides signed; returns the signed entry."""
        return defaults.close_out(operator, closing.institution)

    return router


def _institutions(operator: Operator) -> APIRouter:
    router = APIRouter(prefix="/institutions/{institution}", tags=["institution"])

    @router.post("/loss", status_code=202, openapi_extra=examples.signed_json("loss-agreement"))
    def offer(institution: str, document: JsonBody) -> LossOffered:
        """Sign what closing out the book of a default has lost; the operator's people agree, or do not."""
        return defaults.ask_to_agree(operator, institution, document)

    @router.get("/loss")
    def offered(institution: str) -> LossOffered:
        """The loss that the institution signed last, and whether it still can be agreed to."""
        return defaults.offered(operator, operator.account(institution).institution)

    @router.get("/default")
    def standing(institution: str) -> DefaultView:
        """Where the institution's default stands, with the file for `atomic-margin verify-default`."""
        return default_views.default_view(operator, operator.account(institution).institution)

    return router
