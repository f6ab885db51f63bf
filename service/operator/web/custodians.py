"""Custodians in the operator's HTTP face: what is dealt to them, and openings that they take part in.

Each signs its requests with the identity key that a custody policy names, and sees the accounts of such policies alone.
"""

from typing import Any

from fastapi import APIRouter, Response

from atomic_margin.service.operator.custody import (
    history,
    openings,
    policies,
    receipts,
    resharing_rows,
    resharings,
    standings,
    voids,
)
from atomic_margin.service.operator.custody.stored import deal_of, of_custodian, standing_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import findings
from atomic_margin.service.operator.runs.background import BackgroundWork
from atomic_margin.service.operator.web import examples
from atomic_margin.service.operator.web.dependencies import Calling, JsonBody
from atomic_margin.service.protocol.custodian_messages import (
    CustodianPolicies,
    DealingsOfCustodian,
    DealingStanding,
    FindingBrought,
    Openings,
    OpeningStanding,
    Refuses,
    RowBox,
    RowBoxes,
    TakesPart,
    VoidBrought,
)
from atomic_margin.service.protocol.resharing_messages import (
    PassedOnUpload,
    ResharingDeals,
    Resharings,
    ResharingStanding,
)
from atomic_margin.zk.sharing.short import shorten

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


def custodians_router(operator: Operator, work: BackgroundWork) -> APIRouter:
    """Return the calls of custodians."""
    router = APIRouter(prefix="/v1/custodian", tags=["custodian"])
    _dealings(router, operator)
    _openings(router, operator, work)
    _resharings(router, operator)
    return router


def _dealings(router: APIRouter, operator: Operator) -> None:
    @router.get("/policies")
    def policies_of(caller: Calling) -> CustodianPolicies:
        """The custody policies that name the custodian, and whose accounts are under them."""
        with operator.store.reading() as session:
            return policies.shown_to(session, caller.key)

    @router.get("/accounts/{institution}/history")
    def account_history(institution: str) -> Any:
        """The history of an account, as its institution could release it: every entry, what is private left out."""
        return history.released(operator, institution)

    @router.get("/dealings")
    def unsaid(caller: Calling) -> DealingsOfCustodian:
        """Deals of whose shares the custodian has not said anything yet, the oldest first."""
        return receipts.unsaid(operator, caller.key)

    @router.get("/dealings/{deal}")
    def dealing(deal: str, caller: Calling) -> DealingStanding:
        """How far a deal is."""
        with operator.store.reading() as session:
            return standing_of(session, of_custodian(session, caller.key, deal)[0])

    @router.get("/dealings/{deal}/coefficients", response_class=Response, responses=_BYTES)
    def coefficients(deal: str, caller: Calling, short: bool = False) -> Response:
        """The public part of a deal; `short` leaves out what follows from one's own shares."""
        with operator.store.reading() as session:
            row, _ = of_custodian(session, caller.key, deal)
            whole = deal_of(session, operator, row)
        data = shorten(whole) if short else whole.to_bytes()
        return Response(data, media_type="application/octet-stream")

    @router.get("/dealings/{deal}/box", response_class=Response, responses=_BYTES)
    def box(deal: str, caller: Calling) -> Response:
        """The custodian's own shares, encrypted to it."""
        with operator.store.reading() as session:
            _, dealt = of_custodian(session, caller.key, deal)
        return Response(operator.blobs.get(dealt.box), media_type="application/octet-stream")

    @router.post("/dealings/{deal}/receipt", status_code=201, openapi_extra=examples.signed_json("share-receipt"))
    def receipt(deal: str, caller: Calling, document: JsonBody) -> DealingStanding:
        """Receipt one's shares of a deal, checked and stored."""
        return receipts.take_receipt(operator, caller.key, deal, document)

    @router.post("/dealings/{deal}/complaint", status_code=201, openapi_extra=examples.signed_json("share-complaint"))
    def complaint(deal: str, caller: Calling, document: JsonBody) -> DealingStanding:
        """Complain of shares that are missing, or do not fit the deal; the institution publishes the right ones."""
        return receipts.take_complaint(operator, caller.key, deal, document)


def _openings(router: APIRouter, operator: Operator, work: BackgroundWork) -> None:
    @router.get("/openings")
    def open_ones(caller: Calling) -> Openings:
        """Openings that are open, of accounts whose policy names the custodian."""
        return standings.open_for(operator, caller.key)

    @router.get("/openings/{request}")
    def opening(request: str) -> OpeningStanding:
        """How far an opening is, or how far it came."""
        return standings.standing(operator, request)

    @router.post("/openings/{request}/part", status_code=201)
    def take_part(request: str, part: TakesPart, caller: Calling) -> OpeningStanding:
        """Take part in an opening; or say that a session came to nothing, and go on."""
        openings.take_part(operator, caller.key, request, part)
        return standings.standing(operator, request)

    @router.post("/openings/{request}/refusal", status_code=201)
    def refuse(request: str, refusal: Refuses, caller: Calling) -> OpeningStanding:
        """Take no part in an opening, and say why."""
        openings.refuse(operator, caller.key, request, refusal.reason)
        return standings.standing(operator, request)

    @router.post("/openings/{request}/rows", status_code=201)
    def bring_rows(request: str, box: RowBox, caller: Calling) -> OpeningStanding:
        """Bring shares of the opened rows, encrypted to the closer, or to who opens what was found before."""
        openings.bring_rows(operator, caller.key, request, box)
        return standings.standing(operator, request)

    @router.get("/openings/{request}/rows")
    def rows(request: str, caller: Calling) -> RowBoxes:
        """What the others of the session brought for the custodian: the closer, or who opens what was found before."""
        return openings.rows_for(operator, caller.key, request)

    @router.post("/openings/{request}/finding", status_code=201)
    def find(request: str, brought: FindingBrought, caller: Calling) -> OpeningStanding:
        """Bring what was found, with one's verdict; the closer does so first. With enough verdicts it is entered."""
        findings.take_finding(operator, caller.key, request, brought)
        work.wake()
        return standings.standing(operator, request)

    @router.post("/openings/{request}/void", status_code=201)
    def make_void(request: str, brought: VoidBrought, caller: Calling) -> OpeningStanding:
        """Bring what makes a finding void, as who opened its rows; the others verify it."""
        voids.take_void(operator, caller.key, request, brought)
        return standings.standing(operator, request)


def _resharings(router: APIRouter, operator: Operator) -> None:
    @router.get("/resharings")
    def left(caller: Calling) -> Resharings:
        """Re-sharings in which something is left for the custodian to do."""
        return resharing_rows.for_custodian(operator, caller.key)

    @router.get("/resharings/{resharing}/deals")
    def deals(resharing: str, caller: Calling) -> ResharingDeals:
        """The deal before, and what every dealer passed on to the custodian."""
        return resharing_rows.deals_for(operator, caller.key, resharing)

    @router.post("/resharings/{resharing}/shares", status_code=201)
    def pass_on(resharing: str, upload: PassedOnUpload, caller: Calling) -> ResharingStanding:
        """Pass one's shares on: a deal of them, and a box for each new custodian."""
        return resharings.pass_on(operator, caller.key, resharing, upload)

    @router.post(
        "/resharings/{resharing}/receipt", status_code=201, openapi_extra=examples.signed_json("share-receipt")
    )
    def new_receipt(resharing: str, caller: Calling, document: JsonBody) -> ResharingStanding:
        """Receipt one's new shares, checked and stored. With enough receipts the re-sharing is entered."""
        return resharings.take_receipt(operator, caller.key, resharing, document)

    @router.post(
        "/resharings/{resharing}/complaint", status_code=201, openapi_extra=examples.signed_json("share-complaint")
    )
    def new_complaint(resharing: str, caller: Calling, document: JsonBody) -> ResharingStanding:
        """Complain of what a dealer passed on."""
        return resharings.take_complaint(operator, caller.key, resharing, document)
