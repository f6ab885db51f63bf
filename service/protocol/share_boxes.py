"""Boxes: a custodian's shares of a book, encrypted to it. What is public of them, form and keys; anyone may call it.

A box is HPKE (RFC 9180) in base mode, single-shot, with an empty `aad`: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
ChaCha20-Poly1305. Its one length follows from the number of entries, and there is nothing else in it:

    box     enc, 32 bytes | shares (`zk.sharing.messages`), encrypted | tag, 16 bytes
    info    canonical JSON: format, operator, institution, deal, point, identity

`info` is what the key of a box depends on, next to the custodian's encryption key: a box that is carried to another
account, deal or custodian does not open. ChaCha20-Poly1305 runs in constant time on machines without instructions for
AES too, and at some kilobytes speed does not matter.

**Base mode does not say who sealed a box**: whoever knows a custodian's key and what stands in `info` can make one that
opens. That is fine, because nobody believes shares for where they come from. The hash of the deal is in the account's
state, which the institution signed, and the custodian checks its shares against that deal, and so against V
(`zk.sharing.check`). What passes is its share, whoever sent it; what does not pass is complained about.

Nor is there forward secrecy against loss of the custodian's key: it opens every box that was kept. Custodians erase old
keys, as they erase old shares.

>>> box_bytes(128)
8275
"""

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.service.errors import BoxMalformed, EncryptionKeyRefused
from atomic_margin.zk.sharing.messages import shares_bytes
from atomic_margin.zk.sharing.statement import Custodian

FORMAT = "atomic-margin/share-box/1"
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
OVERHEAD_BYTES = 48
"""Of a box: the encapsulated key, 32 bytes, and the tag, 16."""

_PRIME = (1 << 255) - 19
_KEY = re.compile(r"[0-9a-f]{64}")
# Every private key is a multiple of the cofactor, so any one takes a point of small order to zero.
_ANY_PRIVATE_KEY = X25519PrivateKey.from_private_bytes(bytes(32))


@dataclass(frozen=True)
class BoxAddress:
    """What a box belongs to. Sender and custodian make it, each of what it trusts; it does not travel with the box.

    Attributes:
        operator: of the account, as its documents name it.
        institution: of the account, as its documents name it.
        deal: hash of the deal, 32 bytes, as the account's state has it.
        custodian: point and identity key, as the deal's statement has them.
    """

    operator: str
    institution: str
    deal: bytes
    custodian: Custodian

    def info(self) -> bytes:
        """Return HPKE's `info`: every byte that a box is bound to besides the custodian's encryption key."""
        return canonical_bytes(
            {
                "deal": self.deal.hex(),
                "format": FORMAT,
                "identity": self.custodian.identity.hex(),
                "institution": self.institution,
                "operator": self.operator,
                "point": str(self.custodian.point),
            }
        )


def box_bytes(entries: int) -> int:
    """Return the size of a box with shares of so many entries."""
    return shares_bytes(entries) + OVERHEAD_BYTES


def require_box_form(box: object, entries: int) -> bytes:
    """Return ``box`` if it is bytes of the size that a box with shares of so many entries has.

    This is all that can be said of a box without the custodian's private key.

    Raises:
        BoxMalformed: it is not.
    """
    if not isinstance(box, bytes):
        raise BoxMalformed(f"a box is bytes, got {type(box).__name__}")
    if len(box) != box_bytes(entries):
        raise BoxMalformed(
            f"a box with shares of {entries} entries is {box_bytes(entries)} bytes, got {len(box)}: seal it again"
        )
    return box


def fault_of_encryption_key(key: str) -> str | None:
    """Return why a text is no encryption key that may stand in a policy and what to do, or None for a good one.

    Libraries take any 32 bytes. Another spelling makes two names of one key; to a key of small order every secret is
    zero, and everybody could open what is sealed to it.

    >>> fault_of_encryption_key("09" + 31 * "00") is None
    True
    """
    if _KEY.fullmatch(key) is None:
        return "an X25519 public key is 64 lower-case hex digits; copy it again from its owner"
    data = bytes.fromhex(key)
    if int.from_bytes(data, "little") >= _PRIME:
        return "not the one spelling of its point, u below 2^255 - 19; have its owner make a new key"
    try:
        _ANY_PRIVATE_KEY.exchange(X25519PublicKey.from_public_bytes(data))
    except ValueError:
        return "a point of small order, to which nothing can be encrypted; have its owner make a new key"
    return None


def read_encryption_key(key: str) -> X25519PublicKey:
    """Return a custodian's encryption key from its 64 hex digits.

    Raises:
        EncryptionKeyRefused: it is none, not in its one spelling, or of small order.
    """
    fault = fault_of_encryption_key(key)
    if fault is not None:
        raise EncryptionKeyRefused(fault)
    return X25519PublicKey.from_public_bytes(bytes.fromhex(key))
