"""Hashes of RFC 6962, section 2.1: leaves and nodes apart, so that no node can be shown as a leaf.

>>> leaf_hash(b"").hex()[:16]
'6e340b9cffb37a98'
>>> tree_hash([]).hex()[:16]
'e3b0c44298fc1c14'
"""

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """Return the largest power of two below ``size``, which is at least 2: where a tree of that size is divided."""
    return 1 << (size - 1).bit_length() - 1


def tree_hash(hashes: Sequence[bytes]) -> bytes:
    """Return the root over neighbouring hashes of one level; a last one without a partner goes up as it is."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        joined = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = joined + level[len(joined) * 2 :]
    return level[0]
