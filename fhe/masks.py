"""Ciphertext masks that nobody chose: expanded from the server's nonce, so that only the bodies of a submission travel.

Institution, server and verifier all expand them; no FHE library is needed. A mask crafted by the institution could make
malformed keys look well formed, and a mask used twice under one key gives the difference of two entries away, so the
seed binds nonce, institution, key and sequence number, and the institution refuses a seed it has used.

>>> seed = mask_seed("ab" * 16, "north", "cd" * 32, 1)
>>> expand_masks(seed, count=2, dimension=3).shape
(2, 3)
>>> bytes_from_words(with_masks(np.array([5, 6], dtype=np.uint64), expand_masks(seed, 2, 3)))[24:32].hex()
'0500000000000000'
"""

import hashlib

import numpy as np

from atomic_margin.fhe.errors import MalformedCiphertext
from atomic_margin.fhe.lwe import Words
from atomic_margin.margin.canonical import canonical_bytes

_TAG = b"atomic-margin/lwe-masks/1\0"


def mask_seed(nonce: str, institution: str, key_commitment: str, sequence: int) -> bytes:
    """Return the 32-byte seed of one submission's masks.

    Args:
        nonce: the server's, in hex, issued after the evaluation keys were fixed.
        institution: its identifier.
        key_commitment: hash, in hex, of the commitments to the secret key the ciphertexts are under.
        sequence: the submission's number.
    """
    bound = {
        "nonce": nonce,
        "institution": institution,
        "key_commitment": key_commitment,
        "sequence": str(sequence),
    }
    return hashlib.sha256(_TAG + canonical_bytes(bound)).digest()


def expand_masks(seed: bytes, count: int, dimension: int) -> Words:
    """Return masks of shape (count, dimension): SHAKE256 of the tagged seed, read as little-endian 64-bit words."""
    stream = hashlib.shake_256(_TAG + seed).digest(8 * count * dimension)
    return np.frombuffer(stream, dtype="<u8").reshape(count, dimension).astype(np.uint64)


def bodies_from_bytes(data: bytes, count: int) -> Words:
    """Return the bodies of ``count`` ciphertexts, shape (count,); every word is a valid residue mod 2^64.

    Raises:
        MalformedCiphertext: the length is not exactly 8 * count.
    """
    if len(data) != 8 * count:
        raise MalformedCiphertext(f"expected {8 * count} bytes ({count} bodies of 8 bytes), got {len(data)}")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


def with_masks(bodies: Words, masks: Words) -> Words:
    """Return whole ciphertexts, mask then body; shapes (count,), (count, n) -> (count, n + 1)."""
    return np.concatenate([masks, bodies[:, None]], axis=1)


def bytes_from_words(words: Words) -> bytes:
    """Return words as they travel and are hashed: little-endian, in order."""
    return words.astype("<u8").tobytes()
