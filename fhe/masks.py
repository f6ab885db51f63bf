"""Ciphertext masks that nobody chose: expanded from fresh bytes of both sides, so that only bodies travel.

Institution, operator and verifier all expand them; no FHE library is needed. A mask crafted by the institution could
make malformed keys look well formed, and a mask used twice under one key gives the difference of two entries away. So
the seed hashes the operator's nonce and the institution's random bytes, of which either alone makes it new, and whom
and what it is for; and the institution refuses a seed it has used.

>>> seed = mask_seed("ab" * 32, "12" * 32, "9a" * 32, "north", "cd" * 32, 1)
>>> expand_masks(seed, count=2, dimension=3).shape
(2, 3)
>>> Ciphertext(expand_masks(seed, 2, 3), np.array([5, 6], dtype=np.uint64), count=4).to_bytes()[24:32].hex()
'0500000000000000'
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.fhe.errors import MalformedCiphertext
from atomic_margin.fhe.lwe import Words

_TAG = b"atomic-margin/lwe-masks/1\0"


def mask_seed(
    nonce: str, randomness: str, operator: str, institution: str, key_commitments: str, sequence: int
) -> bytes:
    """Return the 32-byte seed of one submission's masks.

    Args:
        nonce: the operator's, in hex, issued after the evaluation keys were fixed.
        randomness: 32 bytes in hex that the institution drew for this submission.
        operator: public key, in hex, of whom the submission is addressed to.
        institution: its identifier.
        key_commitments: hash, in hex, of the commitments to the secret key the ciphertexts are under.
        sequence: the submission's number.
    """
    bound = {
        "nonce": nonce,
        "randomness": randomness,
        "operator": operator,
        "institution": institution,
        "key_commitments": key_commitments,
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


@dataclass(frozen=True)
class Ciphertext:
    """Ciphertexts of the entries of a book, for a circuit that takes at least as many.

    Attributes:
        masks: shape (N, n).
        bodies: shape (N,).
        count: ciphertexts the circuit takes, N or more; those beyond the book's are trivial encryptions of zero, under
            columns whose weights are zero.
    """

    masks: Words
    bodies: Words
    count: int

    def __post_init__(self) -> None:
        if self.masks.shape[0] != self.bodies.shape[0] or self.bodies.shape[0] > self.count:
            raise MalformedCiphertext(
                f"{self.masks.shape[0]} masks and {self.bodies.shape[0]} bodies for a circuit of {self.count} entries"
            )

    def to_bytes(self) -> bytes:
        """Return the raw words, mask then body, little-endian: what is evaluated, and hashed."""
        words = np.zeros((self.count, self.masks.shape[1] + 1), dtype="<u8")
        words[: len(self.bodies), :-1] = self.masks
        words[: len(self.bodies), -1] = self.bodies
        return words.tobytes()
