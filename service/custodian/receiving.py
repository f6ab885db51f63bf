"""What a custodian decides about a deal: whether it is one, and whether its shares fit. No I/O but what is passed in.

Whose fault something is decides who hears of it. What the operator can cause alone (a box or a deal with another hash
than the institution signed) is refused and tried again: nobody complains of an institution for what a carrier changed.
What the institution signed and does not fit is complained about, and the institution has to publish the share.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.custodian.boxes import open_box
from atomic_margin.service.custodian.errors import DealDiffers, DealingInvalid, SharesUnusable
from atomic_margin.service.errors import BoxDoesNotOpen, BoxMalformed, RequestError
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custodian_messages import DealingStanding
from atomic_margin.service.protocol.custody import CustodianKeys, CustodyPolicy
from atomic_margin.service.protocol.dealings import Dealing, ResealedShares, sharing_statement
from atomic_margin.service.protocol.share_boxes import BoxAddress
from atomic_margin.zk.errors import EncodingError, OtherDeal, ProofError, SharesInvalid, SharingEncodingError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.sharing.check import check_shares, deal_points
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.short import complete
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement

Coefficients = Callable[[bool], bytes]
"""Returns the bytes of a deal, without its last degree where that is asked for."""


class Offered(NamedTuple):
    """A deal that an institution signed, under a policy that was agreed to.

    Attributes:
        dealing: what it says.
        document: hash of the signed document.
        signed: that document, as JSON.
        own: this custodian's line in the policy.
        statement: what the deal is about.
        box_hash: SHA-256 of this custodian's box.
    """

    dealing: Dealing
    document: str
    signed: dict[str, object]
    own: CustodianKeys
    statement: SharingStatement
    box_hash: str

    @property
    def deal_hash(self) -> bytes:
        """Hash of the deal, 32 bytes."""
        return bytes.fromhex(self.dealing.deal)

    @property
    def address(self) -> BoxAddress:
        """What this custodian's box is bound to."""
        holder = Custodian(self.own.point, bytes.fromhex(self.own.identity))
        return BoxAddress(self.dealing.operator, self.dealing.institution, self.deal_hash, holder)


class Taken(NamedTuple):
    """Shares that fit, with the whole deal."""

    shares: Shares
    deal: Deal


def read_offer(
    standing: DealingStanding,
    operator: str,
    identities: Iterable[str],
    policy_of: Callable[[str], CustodyPolicy],
    own_line: Callable[[CustodyPolicy], CustodianKeys],
) -> Offered:
    """Return what an operator hands on as a deal, if the institution signed it.

    Args:
        standing: as it was sent.
        operator: public key of the trusted operator.
        identities: keys of the institution, from the trust file.
        policy_of: returns a policy that was agreed to, by its hash.
        own_line: returns this custodian's line in it.

    Raises:
        DealingInvalid: it is not signed by the institution, is of another account, or does not fit its policy.
        PolicyNotAgreed: nobody agreed here to its policy.
    """
    try:
        signed, dealing = parse_signed(standing.dealing, Dealing)
        signed.verify(frozenset(identities))
    except (RequestError, DocumentsError) as error:
        raise DealingInvalid(f"the dealing of {standing.institution} does not hold: {error}") from error
    for name, said, wanted in (
        ("institution", dealing.institution, standing.institution),
        ("operator", dealing.operator, operator),
        ("deal", dealing.deal, standing.deal),
    ):
        if said != wanted:
            raise DealingInvalid(f"the dealing of {standing.institution} is of {name} {said[:64]}, not {wanted[:64]}")
    policy = policy_of(dealing.policy)
    own = own_line(policy)
    if len(dealing.boxes) != len(policy.custodians):
        raise DealingInvalid(
            f"the dealing of {dealing.institution} has {len(dealing.boxes)} boxes, and its policy "
            f"{len(policy.custodians)} custodians"
        )
    try:
        statement = sharing_statement(dealing, policy)
    except ProofError as error:
        raise DealingInvalid(f"the dealing of {dealing.institution} is about nothing to be shared: {error}") from error
    box_hash = dealing.boxes[policy.custodians.index(own)]
    return Offered(dealing, signed.body_hash(), signed.to_json(), own, statement, box_hash)


def take_shares(
    offered: Offered, box: bytes | None, coefficients: Coefficients, key: X25519PrivateKey, group: Group
) -> Taken:
    """Return the shares in a custodian's own box, checked against their deal.

    Args:
        offered: the deal.
        box: as it was fetched; None if there is none.
        coefficients: fetches the deal.
        key: opens the box.
        group: backend.

    Raises:
        SharesUnusable: there is no box, it does not open, or its shares do not fit.
        DealDiffers: box or deal have another hash than the institution signed.
    """
    if box is None:
        raise SharesUnusable("missing", "there is no box for this custodian")
    if hashlib.sha256(box).hexdigest() != offered.box_hash:
        raise DealDiffers("the operator hands out another box than the institution signed; it is fetched again")
    shares = _opened(offered, box, key)
    try:
        short = coefficients(True)
        return Taken(shares, complete(offered.statement, short, shares, offered.own.point, offered.deal_hash, group))
    except (OtherDeal, EncodingError):
        # Something is wrong, and the whole deal says what.
        return Taken(shares, _checked(offered, shares, read_deal(offered, coefficients(False), group), group))


def read_deal(offered: Offered, data: bytes, group: Group) -> Deal:
    """Return the whole deal, if it is the one that was signed.

    Raises:
        DealDiffers: it is not.
        DealingInvalid: it is, and has something that is no commitment.
    """
    try:
        deal = Deal.from_bytes(data, offered.statement)
    except SharingEncodingError as error:
        raise DealDiffers(f"the operator hands out what is no deal: {error}; it is fetched again") from error
    if deal.hash != offered.deal_hash:
        raise DealDiffers("the operator hands out another deal than the institution signed; it is fetched again")
    try:
        deal_points(deal, group)
    except EncodingError as error:
        raise DealingInvalid(f"the deal of {offered.dealing.institution} has no commitments: {error}") from error
    return deal


def read_resealed(
    value: object,
    complaint: str,
    offered: Offered,
    identities: Iterable[str],
    deal: Deal,
    key: X25519PrivateKey,
    group: Group,
) -> Taken:
    """Return the shares that an institution sealed once more to answer a complaint, checked against their deal.

    Args:
        value: the signed answer, as JSON.
        complaint: hash of this custodian's.
        offered: the deal.
        identities: keys of the institution.
        deal: whole, as `read_deal` returns it.
        key: this custodian's, that opens boxes.
        group: backend.

    Raises:
        DealingInvalid: it is not the institution's, or no answer to this complaint.
        SharesUnusable: the shares do not fit either.
    """
    try:
        signed, resealed = parse_signed(value, ResealedShares)
        signed.verify(frozenset(identities))
    except (RequestError, DocumentsError) as error:
        raise DealingInvalid(f"an answer to a complaint does not hold: {error}") from error
    dealing = offered.dealing
    for name, wanted in (
        ("institution", dealing.institution),
        ("operator", dealing.operator),
        ("deal", dealing.deal),
        ("point", offered.own.point),
        ("complaint", complaint),
    ):
        if getattr(resealed, name) != wanted:
            raise DealingInvalid(f"an answer to a complaint is about another {name}")
    shares = _opened(offered, bytes.fromhex(resealed.box), key)
    return Taken(shares, _checked(offered, shares, deal, group))


def _opened(offered: Offered, box: bytes, key: X25519PrivateKey) -> Shares:
    try:
        return open_box(box, offered.address, key, offered.statement)
    except BoxDoesNotOpen as error:
        raise SharesUnusable("sealed", str(error)) from error
    except (BoxMalformed, SharingEncodingError, OtherDeal) as error:
        raise SharesUnusable("malformed", str(error)) from error


def _checked(offered: Offered, shares: Shares, deal: Deal, group: Group) -> Deal:
    try:
        check_shares(deal, shares, offered.own.point, group)
    except SharesInvalid as error:
        raise SharesUnusable("wrong", str(error), error.entry) from error
    except OtherDeal as error:
        raise SharesUnusable("malformed", str(error)) from error
    return deal
