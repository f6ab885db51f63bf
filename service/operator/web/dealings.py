"""Deals of books in the operator's HTTP face: the institution's calls."""

from fastapi import APIRouter

from atomic_margin.service.operator.custody import dealings
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.web import examples
from atomic_margin.service.operator.web.dependencies import JsonBody
from atomic_margin.service.protocol.custodian_messages import DealingStanding, DealingUpload
from atomic_margin.service.protocol.share_boxes import box_bytes
from atomic_margin.zk.groups import POINT_BYTES
from atomic_margin.zk.sharing.statement import MAX_CUSTODIANS

_DOCUMENT_BYTES = 1 << 16


def longest_upload(entries: int) -> int:
    """Return how long a deal of a book with so many entries is at most, as JSON."""
    coefficients, commitments = (MAX_CUSTODIANS - 1) * entries * POINT_BYTES, entries * (POINT_BYTES + 2)
    return 2 * (coefficients + MAX_CUSTODIANS * box_bytes(entries) + commitments) + _DOCUMENT_BYTES


def dealings_router(operator: Operator) -> APIRouter:
    """Return the calls of institutions about their own deals."""
    router = APIRouter(prefix="/v1/institutions/{institution}/dealings", tags=["institution"])

    @router.post("", status_code=201)
    def deal(institution: str, upload: DealingUpload) -> DealingStanding:
        """Bring the deal of a book before it is submitted: public coefficients, and a box for each custodian.

        The same deal again changes nothing. Of those that no book is under, the newest two are kept.
        """
        return dealings.bring(operator, institution, upload)

    @router.get("/{deal}")
    def standing(institution: str, deal: str) -> DealingStanding:
        """Receipts, complaints and answers of a deal, so far."""
        return dealings.standing(operator, institution, deal)

    @router.post("/{deal}/shares", status_code=201, openapi_extra=examples.signed_json("resealed-shares"))
    def reseal(institution: str, deal: str, document: JsonBody) -> DealingStanding:
        """Answer a custodian's complaint by sealing its shares to it once more."""
        return dealings.answer(operator, institution, deal, document)

    return router
