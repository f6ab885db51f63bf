"""Open the box that a custodian's shares of a book come in. They are secrets: nothing of them is logged.

Whoever opens a box has shares that fit nothing yet: `zk.sharing.check`, or `zk.sharing.short`, says whether they are
those of the deal that the account's state names. A box does not say who sealed it, see `protocol.share_boxes`.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from atomic_margin.service.errors import BoxDoesNotOpen
from atomic_margin.service.protocol.share_boxes import SUITE, BoxAddress, require_box_form
from atomic_margin.zk.errors import OtherDeal
from atomic_margin.zk.sharing.messages import Shares
from atomic_margin.zk.sharing.statement import SharingStatement


def open_box(box: bytes, address: BoxAddress, key: X25519PrivateKey, statement: SharingStatement) -> Shares:
    """Return the shares in a custodian's own box, which are still to be checked against their deal.

    Args:
        box: as the operator carried it.
        address: the account, the deal whose hash its state has, and this custodian.
        key: the custodian's private encryption key.
        statement: what the deal is about.

    Raises:
        BoxMalformed: another length than the statement's entries call for.
        BoxDoesNotOpen: it was sealed for another custodian, deal, account or key, or changed on the way.
        SharingEncodingError: whoever sealed it put something else than shares into it.
        OtherDeal: whoever sealed it put shares of another deal or custodian into it.
    """
    require_box_form(box, statement.entries)
    try:
        opened = SUITE.decrypt(box, key, info=address.info())
    except InvalidTag:
        raise BoxDoesNotOpen(
            f"the box does not open for the custodian at point {address.custodian.point} in this deal: fetch it again; "
            "if it is the same, complain that there is no share"
        ) from None
    shares = Shares.from_bytes(opened, statement)
    if (shares.custodian, shares.deal) != (address.custodian.point, address.deal):
        raise OtherDeal(
            f"in the box of the custodian at point {address.custodian.point} are shares of another custodian or deal: "
            "complain that there is no share"
        )
    return shares


def seal_passed_on(shares: Shares, address: BoxAddress, key: X25519PublicKey) -> bytes:
    """Return the box of a new custodian, which ``shares`` of a dealer's own deal are for; other bytes each time.

    Args:
        shares: of all entries.
        address: the account, the dealer's deal and the new custodian.
        key: its encryption key, as `read_encryption_key` returns it.

    Raises:
        OtherDeal: the shares are of another custodian than the address, or of another deal.
    """
    if (shares.custodian, shares.deal) != (address.custodian.point, address.deal):
        raise OtherDeal(f"the shares of point {shares.custodian} are not those of the custodian in this address")
    return SUITE.encrypt(shares.to_bytes(), key, info=address.info())
