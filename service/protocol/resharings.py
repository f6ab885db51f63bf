"""What a re-sharing is, for everybody who checks one: what dealers' deals are about, and whether receipts hold. Pure.

The operator checks that the new deal is the sum of the dealers'. Everybody else rests on the receipts: each new
custodian has computed that sum itself, and holds shares that fit it, before it signs.
"""

import hashlib
from collections.abc import Sequence

from atomic_margin.service.errors import BoxMalformed, Refused
from atomic_margin.service.protocol.account.resharing_documents import (
    PassedOn,
    Resharing,
    ResharingRequest,
    request_hash,
)
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import BookSharing, check_receipts
from atomic_margin.service.protocol.share_boxes import require_box_form
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.sharing import resharing as zk
from atomic_margin.zk.sharing.check import deal_points
from atomic_margin.zk.sharing.messages import Deal


def resharing_of(request: ResharingRequest, deal: Deal, policy: CustodyPolicy) -> zk.Resharing:
    """Return what dealers and new custodians compute: the openings behind a deal go to the custodians of a policy.

    The context of every deal in it has the hash of the request: what is passed on for one fits no other.

    Args:
        request: what the operator asks for.
        deal: that the book is shared by.
        policy: that it goes over to.

    Raises:
        Refused: the request is about another deal, book or policy.
        StatementError: dealers are not as many holders of the deal as have the book together.
    """
    for name, said, wanted in (
        ("before.deal", request.before.deal, deal.hash.hex()),
        ("book", request.book, deal.statement.context["book"]),
        ("institution", request.institution, deal.statement.context["institution"]),
        ("operator", request.operator, deal.statement.context["operator"]),
        ("policy", request.policy, policy.hash()),
    ):
        if said != wanted:
            raise Refused(f"the re-sharing is about another {name} than what is to be passed on", name)
    return zk.Resharing(
        deal=deal,
        dealers=request.dealers,
        threshold=policy.threshold,
        custodians=policy.holders,
        context={
            "document": "resharing",
            "institution": request.institution,
            "operator": request.operator,
            "policy": request.policy,
            "book": request.book,
            "request": request_hash(request),
        },
    )


def check_reshared(resharing: Resharing, policy: CustodyPolicy) -> tuple[int, ...]:
    """Check the receipts of a re-sharing; return the points of the new custodians that signed one.

    How many there have to be is for the account machine to say. A receipt for a deal of the institution's, or for
    another re-sharing, names something else than this request.

    Args:
        resharing: what was entered, or is to be.
        policy: that the book goes over to, from the account or a trust file.

    Raises:
        SignatureInvalid: one is not signed by the custodian at its point.
        Refused: the policy is another one, a receipt is of something else, or a custodian has signed two.
        MalformedRequest, DocumentError: one is no receipt.
    """
    return check_receipts(
        BookSharing(policy=resharing.policy, deal=resharing.deal, receipts=resharing.receipts),
        policy,
        institution=resharing.institution,
        operator=resharing.operator,
        book=resharing.book,
        dealing=request_hash(resharing.request),
    )


def check_passed_on(
    plan: zk.Resharing, body: PassedOn, request: ResharingRequest, dealer: int, coefficients: str, group: Group
) -> Deal:
    """Return the deal that a dealer signed, as far as it can be checked without shares.

    Args:
        plan: what is re-shared (`resharing_of`).
        body: what the dealer signed; its signature is checked before.
        request: what was asked for.
        dealer: point of who signed.
        coefficients: bytes of the deal, hex.
        group: backend.

    Raises:
        Refused: it is about something else, or no such deal.
    """
    for name, wanted in (
        ("institution", request.institution),
        ("operator", request.operator),
        ("request", request_hash(request)),
        ("point", dealer),
    ):
        if getattr(body, name) != wanted:
            raise Refused(f"what is passed on is for another {name} than the re-sharing's", name)
    try:
        deal = Deal.from_bytes(bytes.fromhex(coefficients), plan.statement_of(dealer, group))
        if deal.hash.hex() != body.deal:
            raise Refused("the coefficients are of another deal than the dealer signed", "deal")
        deal_points(deal, group)
    except ProofError as error:
        raise Refused(str(error), "coefficients") from error
    return deal


def check_boxes(body: PassedOn, boxes: Sequence[bytes], policy: CustodyPolicy, entries: int) -> None:
    """Make sure that there is a box of the right form for every new custodian, and that the dealer signed it.

    Raises:
        Refused: there is not.
    """
    if not len(boxes) == len(body.boxes) == len(policy.custodians):
        raise Refused(f"there is one box for each of {len(policy.custodians)} custodians", "boxes")
    for index, (box, sha256) in enumerate(zip(boxes, body.boxes, strict=True)):
        try:
            require_box_form(box, entries)
        except BoxMalformed as error:
            raise Refused(str(error), f"boxes[{index}]") from error
        if hashlib.sha256(box).hexdigest() != sha256:
            raise Refused("the box has another hash than the dealer signed", f"boxes[{index}]")
