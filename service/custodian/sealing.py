"""Shares at rest: encrypted under the custodian's storage key, bound to their deal and point.

ChaCha20-Poly1305 (RFC 8439) with a random nonce of 12 bytes before the ciphertext. What is bound with it names
operator, institution, deal and point, so that a row put in another one's place does not open.

>>> sealed = seal(bytes(32), b"shares", Place("9a" * 32, "fund", "1b" * 32, 2))
>>> unseal(bytes(32), sealed, Place("9a" * 32, "fund", "1b" * 32, 2))
b'shares'
"""

import os
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.service.custodian.errors import SharesDamaged

FORMAT = "atomic-margin/stored-shares/1"
NONCE_BYTES = 12


class Place(NamedTuple):
    """What stored shares are of.

    Attributes:
        operator: of the account.
        institution: of the account.
        deal: hash of the deal.
        point: of the custodian.
    """

    operator: str
    institution: str
    deal: str
    point: int

    def bound(self) -> bytes:
        """Return what is bound with the ciphertext."""
        return canonical_bytes({**self._asdict(), "point": str(self.point), "format": FORMAT})


def seal(key: bytes, data: bytes, place: Place) -> bytes:
    """Return nonce and ciphertext; other bytes each time."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, data, place.bound())


def unseal(key: bytes, sealed: bytes, place: Place) -> bytes:
    """Return what was sealed.

    Raises:
        SharesDamaged: it was sealed under another key, for another place, or was changed.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.bound())
    except (InvalidTag, ValueError):
        raise SharesDamaged(
            f"the stored shares of deal {place.deal[:16]} do not open: restore storage.key and custodian.db of one "
            "backup"
        ) from None
