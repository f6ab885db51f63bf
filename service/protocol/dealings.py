"""Deals of a book to custodians: what the institution deals, and what a custodian says of it. Pure.

An institution deals before it submits: nothing of a deal depends on prices, and a book that waited for receipts after
its gain was proven would be an option on them. A submission names the deal and has the receipts in it. A receipt is for
one book, which is commitments, columns and gross limit, so a submission of the same book may name it again.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from atomic_margin.documents.fields import Counter, Hash, PointHex, PublicKey, SharesHex, Time
from atomic_margin.documents.strict import Identifier, ListOf, Part, integer_in
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.bodies import Body, parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.zk.sharing.statement import MAX_POINT, SharingStatement

JsonObject = dict[str, Any]
Point = Annotated[int, integer_in(1, MAX_POINT)]


class Dealing(Body):
    """An institution deals the openings of a book's commitments. What is encrypted comes beside it.

    Attributes:
        institution: whose book.
        operator: at whom.
        policy: hash of the custody policy.
        sequence: number of the submission that it is dealt for.
        book: hash of commitments, columns and gross limit, see `account.values.commitments_hash`.
        commitments: of the book.
        deal: hash of the deal, which depends on all of its points.
        boxes: SHA-256 of what is encrypted to each custodian, in the order of the policy.
    """

    TYPE = "dealing"
    institution: Identifier
    operator: PublicKey
    policy: Hash
    sequence: Counter
    book: Hash
    commitments: ListOf[PointHex]
    deal: Hash
    boxes: ListOf[Hash]


def sharing_statement(dealing: Dealing, policy: CustodyPolicy) -> SharingStatement:
    """Return what a deal is about. It is the same for every deal of one book under one policy.

    Raises:
        StatementError: commitments, threshold or points outside their bounds.
    """
    return SharingStatement(
        commitments=tuple(bytes.fromhex(point) for point in dealing.commitments),
        threshold=policy.threshold,
        custodians=policy.holders,
        context={
            "document": "dealing",
            "institution": dealing.institution,
            "operator": dealing.operator,
            "policy": dealing.policy,
            "book": dealing.book,
        },
    )


class _OfDeal(Body):
    """What is about one custodian's part of a deal.

    Attributes:
        institution: whose book.
        operator: at whom.
        dealing: hash of the document that it came with.
        deal: hash of the deal.
        point: of the custodian.
    """

    TAG: ClassVar[str] = "of-deal"

    institution: Identifier
    operator: PublicKey
    dealing: Hash
    deal: Hash
    point: Point


class ShareReceipt(_OfDeal):
    """A custodian has its shares of a deal, checked and stored.

    Attributes:
        institution: whose book.
        operator: at whom.
        dealing: hash of the document that it came with; any one of this deal.
        deal: hash of the deal.
        point: of the custodian.
        policy: hash of the custody policy.
        book: whose shares they are.
        custodian: who signs.
        received_at: by its clock.
    """

    TYPE = "share-receipt"
    policy: Hash
    book: Hash
    custodian: PublicKey
    received_at: Time


class ShareComplaint(_OfDeal):
    """A custodian has no shares that fit a deal.

    Attributes:
        institution: whose book.
        operator: at whom.
        dealing: hash of the document.
        deal: hash of the deal.
        point: of the custodian.
        custodian: who signs.
        reason: what is wrong: nothing came, it does not decrypt, it is of no such form, or an entry does not fit.
        entry_index: the first entry whose shares do not fit, where that is the reason.
        complained_at: by its clock.
    """

    TYPE = "share-complaint"
    custodian: PublicKey
    reason: Literal["missing", "sealed", "malformed", "wrong"]
    entry_index: Counter | None = None
    complained_at: Time


class ResealedShares(_OfDeal):
    """An institution answers a complaint by sealing the shares to that custodian once more. Nobody else reads them.

    Attributes:
        institution: whose book.
        operator: at whom.
        dealing: hash of the document.
        deal: hash of the deal.
        point: of the custodian.
        complaint: hash of the complaint.
        box: the same shares, encrypted to the custodian as the first time.
    """

    TYPE = "resealed-shares"
    complaint: Hash
    box: SharesHex


class BookSharing(Part):
    """What a submission says of its shares.

    Attributes:
        policy: hash of the custody policy that the book is dealt under.
        deal: hash of the deal.
        receipts: of custodians, signed; none where the book before has the same commitments and deal.
    """

    policy: Hash
    deal: Hash
    receipts: ListOf[JsonObject] = ()


def check_receipts(
    sharing: BookSharing,
    policy: CustodyPolicy,
    *,
    institution: str,
    operator: str,
    book: str,
    dealing: str | None = None,
) -> tuple[int, ...]:
    """Check the receipts of a submission, or of a re-sharing; return the points of the custodians that signed one.

    How many there have to be is for the account machine to say.

    Args:
        sharing: what the submission says.
        policy: that it is dealt under, from the admission or a trust file.
        institution: whose book.
        operator: at whom.
        book: hash of commitments, columns and gross limit.
        dealing: of a re-sharing, the hash of its request, which every receipt names; of a submission any one will do.

    Raises:
        SignatureInvalid: one is not signed by the custodian at its point.
        Refused: the policy is another one, a receipt is of another deal, or a custodian has signed two.
        MalformedRequest, DocumentError: one is no receipt.
    """
    if sharing.policy != policy.hash():
        raise Refused("the book is dealt under another custody policy than the account's", "sharing.policy")
    whose = "submission" if dealing is None else "re-sharing"
    points: list[int] = []
    for index, value in enumerate(sharing.receipts):
        named = f"sharing.receipts[{index}]"
        signed, receipt = parse_signed(value, ShareReceipt)
        keys = policy.by_point.get(receipt.point)
        if keys is None:
            raise Refused(f"the policy has no custodian at point {receipt.point}", named)
        signed.verify(frozenset({keys.identity}))
        for name, wanted in (
            ("institution", institution),
            ("operator", operator),
            ("policy", sharing.policy),
            ("deal", sharing.deal),
            ("book", book),
            ("custodian", keys.identity),
            ("dealing", receipt.dealing if dealing is None else dealing),
        ):
            if getattr(receipt, name) != wanted:
                raise Refused(f"a receipt is of another {name} than the {whose}'s", named)
        points.append(receipt.point)
    _require_different(points)
    return tuple(points)


def _require_different(points: Iterable[int]) -> None:
    seen: set[int] = set()
    for point in points:
        if point in seen:
            raise Refused(f"the custodian at point {point} has signed two receipts: it counts once", "sharing.receipts")
        seen.add(point)
