"""Deals of books: the operator takes one from an institution, and what that answers to complaints.

A deal is checked as far as it can be without shares, so that no custodian is sent what is none. A custodian receipts
its shares, or complains; the institution answers a complaint by sealing that share to it once more. With more
complaints than custodians may be away, or when its time is over, a deal is over, and the institution deals anew.
"""

import hashlib
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import BoxMalformed, Conflict, Refused
from atomic_margin.service.operator.custody.policies import policy_named, policy_of
from atomic_margin.service.operator.custody.stored import (
    dealt_of,
    own,
    require_about,
    require_open,
    standing_of,
)
from atomic_margin.service.operator.disk import require_room
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.custody_tables import DealingRow, DealtRow
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.deal_rows import forget
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.protocol.account.openings import deals_in_use
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custodian_messages import DealingStanding, DealingUpload
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import Dealing, ResealedShares, check_receipts, sharing_statement
from atomic_margin.service.protocol.share_boxes import require_box_form
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import SUBMITTING
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.sharing.check import deal_points
from atomic_margin.zk.sharing.messages import Deal

IN_PROGRESS = 2
"""Deals of one institution that no book is under: an older one makes place."""


def bring(operator: Operator, institution: str, upload: DealingUpload) -> DealingStanding:
    """Check a deal, store it for its custodians, and return how far it is. The same deal again changes nothing.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with it; nothing is stored.
    """
    account = operator.account(institution)
    signed, dealing = parse_signed(upload.dealing, Dealing)
    signed.verify(frozenset({account.identity}))
    with operator.store.reading() as session:
        earlier = session.get(DealingRow, dealing.deal)
        if earlier is not None and earlier.sha256 == signed.body_hash():
            return standing_of(session, earlier)
        policy = policy_of(session, institution)
        _check(operator, entries.state_of(account).public, dealing, policy)
    boxes = tuple(bytes.fromhex(box) for box in upload.boxes)
    _check_boxes(dealing, policy, boxes)
    coefficients = bytes.fromhex(upload.coefficients)
    _check_deal(operator, dealing, policy, coefficients)
    require_room(operator.settings, len(coefficients) + sum(map(len, boxes)))
    stored = operator.blobs.put(coefficients)
    for box in boxes:
        operator.blobs.put(box)
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        public = entries.state_of(account).public
        # What was looked at before may be past.
        signed.verify(frozenset({account.identity}))
        _check(operator, public, dealing, policy)
        row = session.get(DealingRow, dealing.deal)
        gone: set[str] = set()
        if row is None:
            gone = _make_place(session, institution, public)
            row = _stored(session, signed, dealing, policy, stored)
        elif row.sha256 != signed.body_hash():
            raise Conflict("this deal was brought with another document; deal anew", "deal")
        standing = standing_of(session, row)
    for sha256 in gone:
        operator.blobs.remove(sha256)
    return standing


def standing(operator: Operator, institution: str, deal: str) -> DealingStanding:
    """Return how far a deal of an institution's own is.

    Raises:
        NotFound: it brought no such deal, or it is kept no longer.
    """
    with operator.store.reading() as session:
        return standing_of(session, own(session, institution, deal))


def answer(operator: Operator, institution: str, deal: str, document: object) -> DealingStanding:
    """Take what an institution seals to a custodian that complained, for that custodian alone to read.

    Whether it is right, that custodian says by a receipt. The first answer to a complaint stands.

    Raises:
        SignatureInvalid, Conflict, DocumentError: what is wrong.
        BoxMalformed: it is no box of the deal's entries.
    """
    account = operator.account(institution)
    signed, resealed = parse_signed(document, ResealedShares)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        row = own(session, institution, deal)
        dealt = _answerable(session, row, resealed)
        if dealt.answer is None:
            require_box_form(bytes.fromhex(resealed.box), len(row.document["body"]["commitments"]))
            dealt.answer = signed.to_json()
        return standing_of(session, row)


def require_dealt(session: Session, public: PublicState, submission: Submission) -> None:
    """Make sure that a submission's book is dealt: receipts hold, the deal is of it, and no complaint is open.

    How many receipts there have to be is for the account machine to say. A book that goes on under the deal that it has
    needs none.

    Raises:
        SignatureInvalid: a receipt is not signed by its custodian.
        NotFound: the deal was not brought, or is kept no longer.
        DealingOver: its time is over, or too many custodians complain.
        Refused: it is of another book, or a custodian's complaint was not answered.
    """
    sharing, book = submission.sharing, commitments_hash(submission)
    if sharing is None:
        return
    policy = policy_named(session, submission.institution, sharing.policy)
    check_receipts(sharing, policy, institution=public.institution, operator=submission.operator, book=book)
    before = [one.shared for one in (public.book, public.waiting) if one is not None and one.commitments == book]
    if any(shared is not None and shared.deal == sharing.deal for shared in before):
        return
    row = own(session, submission.institution, sharing.deal)
    # Custodians may have erased shares of a deal whose time is over and that no book is under.
    require_open(session, row)
    dealing = Dealing.parse(row.document["body"])
    if (dealing.book, dealing.commitments) != (book, submission.commitments):
        raise Refused("the deal is of another book than the submission's; deal this one", "sharing.deal")
    open_points = [
        str(dealt.point) for dealt in dealt_of(session, row) if dealt.complaint is not None and dealt.answer is None
    ]
    if open_points:
        raise Refused(
            f"the institution has not answered the complaint of the custodian at point {', '.join(open_points)}: "
            "publish its shares, or deal anew",
            "sharing.deal",
        )


def _check(operator: Operator, public: PublicState, dealing: Dealing, policy: CustodyPolicy) -> None:
    if public.status not in SUBMITTING:
        raise Conflict(f"the account is {public.status}; it cannot submit, so it deals nothing", "state")
    for name, wanted in (
        ("institution", public.institution),
        ("operator", operator.identity.public_key),
        ("policy", policy.hash()),
    ):
        if getattr(dealing, name) != wanted:
            raise Refused(f"the deal is for another {name} than the account's", name)
    if dealing.sequence != public.submissions + 1:
        raise Conflict(f"the next submission is number {public.submissions + 1}, not {dealing.sequence}", "sequence")
    most = operator.terms.profile.entries
    if not 0 < len(dealing.commitments) <= most:
        raise Refused(f"a book has 1 to {most} entries, this deal has {len(dealing.commitments)}", "commitments")


def _check_boxes(dealing: Dealing, policy: CustodyPolicy, boxes: tuple[bytes, ...]) -> None:
    if not len(boxes) == len(dealing.boxes) == len(policy.custodians):
        raise Refused(f"there is one box for each of {len(policy.custodians)} custodians", "boxes")
    for index, (box, sha256) in enumerate(zip(boxes, dealing.boxes, strict=True)):
        try:
            require_box_form(box, len(dealing.commitments))
        except BoxMalformed as error:
            raise Refused(str(error), f"boxes[{index}]") from error
        if hashlib.sha256(box).hexdigest() != sha256:
            raise Refused("the box has another hash than the document says; send the one that was signed", "boxes")


def _check_deal(operator: Operator, dealing: Dealing, policy: CustodyPolicy, coefficients: bytes) -> None:
    try:
        deal = Deal.from_bytes(coefficients, sharing_statement(dealing, policy))
        if deal.hash.hex() != dealing.deal:
            raise Refused("the coefficients are of another deal than the document says; deal anew", "deal")
        deal_points(deal, operator.group)
    except ProofError as error:
        raise Refused(str(error), "coefficients") from error


def _make_place(session: Session, institution: str, public: PublicState) -> set[str]:
    query = (
        select(DealingRow.deal)
        .where(DealingRow.institution == institution, DealingRow.deal.not_in(deals_in_use(public)))
        .order_by(DealingRow.received_at.desc(), DealingRow.deal)
    )
    gone: set[str] = set()
    for deal in list(session.scalars(query))[IN_PROGRESS - 1 :]:
        gone |= forget(session, deal)
    return gone


def _stored(
    session: Session, signed: SignedDocument, dealing: Dealing, policy: CustodyPolicy, coefficients: str
) -> DealingRow:
    moment = now()
    row = DealingRow(
        deal=dealing.deal,
        institution=dealing.institution,
        sha256=signed.body_hash(),
        document=signed.to_json(),
        coefficients=coefficients,
        received_at=instant_text(moment),
        expires_at=instant_text(moment + timedelta(seconds=policy.deal_seconds)),
    )
    session.add(row)
    session.flush()
    for keys, box in zip(policy.custodians, dealing.boxes, strict=True):
        session.add(DealtRow(deal=dealing.deal, point=keys.point, identity=keys.identity, box=box))
    session.flush()
    tell(session, "book dealt", institution=dealing.institution, deal=dealing.deal)
    return row


def _answerable(session: Session, row: DealingRow, resealed: ResealedShares) -> DealtRow:
    """Return what resealed shares are about, if they answer the complaint that is there."""
    dealt = session.get(DealtRow, (row.deal, resealed.point))
    if dealt is None:
        raise Refused(f"the policy has no custodian at point {resealed.point}", "point")
    require_about(resealed, row, dealt, {})
    if dealt.complaint is None:
        raise Conflict("nobody complained about this share", "complaint")
    if resealed.complaint != SignedDocument.parse(dealt.complaint).body_hash():
        raise Conflict("another complaint is open about this share; answer that one", "complaint")
    if dealt.answer is None:
        require_open(session, row)
    return dealt
