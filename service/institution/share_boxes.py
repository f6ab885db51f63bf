"""Seal a custodian's shares of the institution's book into its box. They are secrets: nothing of them is logged."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from atomic_margin.service.protocol.share_boxes import SUITE, BoxAddress
from atomic_margin.zk.errors import OtherDeal
from atomic_margin.zk.sharing.messages import Shares


def seal_shares(shares: Shares, address: BoxAddress, key: X25519PublicKey) -> bytes:
    """Return the box of the custodian that ``shares`` are of; each time it is made of other bytes.

    Args:
        shares: of all entries.
        address: the account, the deal and the custodian.
        key: the custodian's encryption key, as `read_encryption_key` returns it.

    Raises:
        OtherDeal: the shares are of another custodian than the address, or of another deal: they would be read by
            somebody who must not.
    """
    if (shares.custodian, shares.deal) != (address.custodian.point, address.deal):
        raise OtherDeal(
            f"the shares of point {shares.custodian} are not those of the custodian at {address.custodian.point} in "
            "this deal: seal each custodian's own"
        )
    return SUITE.encrypt(shares.to_bytes(), key, info=address.info())
