"""What a custodian decides about a re-sharing: whether it passes its shares on, and whether new ones fit. No I/O.

A dealer gives new custodians what is as good as its shares, so it goes by the account's history alone: the institution
signed the policy that is in force there, and the book is shared by the very deal. A new custodian rests on the deals:
whoever made them, they are about the commitments of the book, or its shares do not fit.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.custodian.boxes import open_box, seal_passed_on
from atomic_margin.service.custodian.errors import ResharingRefused
from atomic_margin.service.custodian.receiving import Taken
from atomic_margin.service.errors import RequestError, ShareBoxError
from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.events import AdmissionRecord
from atomic_margin.service.protocol.account.resharing_documents import PassedOn, ResharingRequest
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custody import CustodianKeys, CustodyPolicy
from atomic_margin.service.protocol.resharing_messages import PassedOnShown, PassedOnUpload, ResharingDeals
from atomic_margin.service.protocol.resharings import check_passed_on, resharing_of
from atomic_margin.service.protocol.share_boxes import BoxAddress, read_encryption_key
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.zk.errors import ProofError, SharesInvalid
from atomic_margin.zk.groups import Group
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.pass_on import add_up, pass_on
from atomic_margin.zk.sharing.resharing import Resharing
from atomic_margin.zk.sharing.statement import Custodian


class DealerAtFault(NamedTuple):
    """A dealer whose deal gives a new custodian nothing that fits.

    Attributes:
        dealing: hash of what it signed.
        deal: hash of its deal.
        dealer: its point.
        reason: as a complaint says it.
        entry: the first entry that does not fit, where that is the reason.
    """

    dealing: str
    deal: str
    dealer: int
    reason: str
    entry: int | None = None


def read_request(value: object, operator: str) -> tuple[str, ResharingRequest]:
    """Return the hash of a request, and what it says.

    Raises:
        ResharingRefused: the trusted operator did not sign it.
    """
    try:
        signed, body = parse_signed(value, ResharingRequest)
        signed.verify(frozenset({operator}))
    except (RequestError, DocumentsError) as error:
        raise ResharingRefused(f"a request to re-share does not hold: {error}") from error
    if body.operator != operator:
        raise ResharingRefused("a request to re-share names another operator than signed it")
    return signed.body_hash(), body


def require_allowed(request: ResharingRequest, public: PublicState) -> None:
    """Make sure that a book may be re-shared so, by the account as its history has it.

    Raises:
        ResharingRefused: policy, book or deal are others, or the book is being opened.
    """
    custody = public.custody
    if request.institution != public.institution or custody is None or custody.policy != request.policy:
        raise ResharingRefused("the account is not under the policy that shares are to go over to")
    if custody.opening is not None:
        raise ResharingRefused("the book is being opened: shares stay where they are until that is over")
    named = (request.book, request.before.policy, request.before.deal)
    books = [book for book in (public.book, public.waiting) if book is not None and book.shared is not None]
    if named not in [(one.commitments, one.shared.policy, one.shared.deal) for one in books if one.shared is not None]:
        raise ResharingRefused("no book of the account is shared by the deal that is to be passed on")


def policy_in(documents: Iterable[object], named: str) -> CustodyPolicy:
    """Return a policy that both sides signed, from the documents of an account's history.

    Raises:
        ResharingRefused: the history does not have it.
    """
    for value in documents:
        if not isinstance(value, dict) or value.get("type") not in (AdmissionRecord.TYPE, CustodyAmendment.TYPE):
            continue
        signed = SignedDocument.parse(value)
        kind: type[AdmissionRecord] | type[CustodyAmendment]
        kind = AdmissionRecord if signed.type == AdmissionRecord.TYPE else CustodyAmendment
        custody = kind.parse(signed.body).custody
        if custody is not None and custody.hash() == named:
            return custody
    raise ResharingRefused("the history of the account does not have the policy that shares are to go over to")


def passed_on(
    request: ResharingRequest, name: str, held: Taken, policy: CustodyPolicy, identity: Identity, group: Group
) -> PassedOnUpload:
    """Return a dealer's own deal of its shares, with a box for every new custodian.

    Args:
        request: what is asked for; allowed (`require_allowed`).
        name: its hash.
        held: the dealer's shares, and their deal.
        policy: that they go over to.
        identity: of the dealer.
        group: backend.

    Raises:
        ResharingRefused: the request is about another deal, or this custodian is none of its dealers.
    """
    try:
        plan = resharing_of(request, held.deal, policy)
        deal, parts = pass_on(plan, held.shares, group)
    except (RequestError, ProofError) as error:
        raise ResharingRefused(f"shares are not passed on: {error}") from error
    boxes = [
        seal_passed_on(part, _address(request, deal, holder), read_encryption_key(keys.encryption_key))
        for keys, holder, part in zip(policy.custodians, policy.holders, parts, strict=True)
    ]
    body = {
        "institution": request.institution,
        "operator": request.operator,
        "request": name,
        "point": str(held.shares.custodian),
        "custodian": identity.public_key,
        "deal": deal.hash.hex(),
        "boxes": [hashlib.sha256(box).hexdigest() for box in boxes],
    }
    return PassedOnUpload(
        passed_on=PassedOn.parse(body).signed_by(identity).to_json(),
        coefficients=deal.to_bytes().hex(),
        boxes=tuple(box.hex() for box in boxes),
    )


def taken_over(
    request: ResharingRequest,
    deals: ResharingDeals,
    policy: CustodyPolicy,
    own: CustodianKeys,
    key: X25519PrivateKey,
    group: Group,
) -> Taken | DealerAtFault:
    """Return the new shares of a custodian with the new deal; or which dealer gave it nothing that fits.

    Args:
        request: what is asked for.
        deals: as the operator shows them.
        policy: that the book goes over to; agreed to here.
        own: this custodian's line in it.
        key: opens its boxes.
        group: backend.

    Raises:
        ResharingRefused: what is shown is not what dealers signed, or not about this book; nobody is blamed for what a
            carrier can have changed.
    """
    try:
        before = deals.before.deal(request.before.deal)
        plan = resharing_of(request, before, policy)
        identities = {one.point: one.identity.hex() for one in before.statement.custodians}
        made: dict[int, tuple[str, PassedOn, Deal, bytes]] = {}
        for shown in deals.passed_on:
            name, body, deal = _read(plan, request, shown, identities, group)
            made[body.point] = (name, body, deal, _own_box(shown, body, policy, own))
    except (RequestError, DocumentsError, ProofError) as error:
        raise ResharingRefused(f"what was passed on is not taken: {error}") from error
    received: dict[int, Shares] = {}
    holder = Custodian(own.point, bytes.fromhex(own.identity))
    for dealer, (name, body, deal, box) in made.items():
        try:
            received[dealer] = open_box(box, _address(request, deal, holder), key, deal.statement)
        except (ShareBoxError, ProofError):
            return DealerAtFault(name, body.deal, dealer, "sealed")
    try:
        deal, shares = add_up(plan, {point: one[2] for point, one in made.items()}, received, own.point, group)
    except SharesInvalid as error:
        if error.dealer is None:
            raise
        name, body, _, _ = made[error.dealer]
        return DealerAtFault(name, body.deal, error.dealer, "wrong", error.entry)
    except ProofError as error:
        raise ResharingRefused(f"what was passed on is not taken: {error}") from error
    return Taken(shares, deal)


def _read(
    plan: Resharing, request: ResharingRequest, shown: PassedOnShown, identities: dict[int, str], group: Group
) -> tuple[str, PassedOn, Deal]:
    signed, body = parse_signed(shown.passed_on, PassedOn)
    signed.verify(frozenset({identities.get(body.point, "")}))
    return signed.body_hash(), body, check_passed_on(plan, body, request, body.point, shown.coefficients, group)


def _own_box(shown: PassedOnShown, body: PassedOn, policy: CustodyPolicy, own: CustodianKeys) -> bytes:
    box, index = bytes.fromhex(shown.box), policy.custodians.index(own)
    if len(body.boxes) != len(policy.custodians) or hashlib.sha256(box).hexdigest() != body.boxes[index]:
        raise ResharingRefused("the operator hands out another box than the dealer signed; it is fetched again")
    return box


def _address(request: ResharingRequest, deal: Deal, holder: Custodian) -> BoxAddress:
    return BoxAddress(request.operator, request.institution, deal.hash, holder)
