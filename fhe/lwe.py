"""The raw LWE view of a ciphertext: little-endian 64-bit words, mask then body.

concrete serialises a ciphertext as a Cap'n Proto message whose only large field is the array of words. This module
finds that field by following the message's pointers (Cap'n Proto encoding specification, sections "Serialization over a
stream", "Structs" and "Lists"), so that words can be hashed, proved about, and put into a message of our own making.
Anyone may import it; it never sees a secret key.

For a ciphertext of m with Delta = 2^(63 - width):  body - <mask, s> = m * Delta + e  (mod 2^64).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.fhe.errors import MalformedCiphertext

Words = npt.NDArray[np.uint64]

_WORD = 8
_STRUCT, _LIST = 0, 1
_BYTES, _POINTERS = 2, 6  # element size codes of list pointers


@dataclass(frozen=True)
class Payload:
    """Where the words lie in a serialised message: ``message[start:stop]``."""

    start: int
    stop: int


def find_payload(message: bytes) -> Payload:
    """Locate the word array of a serialised `Value`.

    Raises:
        MalformedCiphertext: the message is not laid out as a value with one payload in its first segment.
    """
    if len(message) < 2 * _WORD:
        raise MalformedCiphertext(f"{len(message)} bytes are too few for a ciphertext message")
    segments = int.from_bytes(message[0:4], "little") + 1
    if not 1 <= segments <= 8:
        raise MalformedCiphertext(f"a ciphertext message has 1 to 8 segments, this claims {segments}")
    base = -(-(4 + 4 * segments) // _WORD) * _WORD
    end = base + _WORD * int.from_bytes(message[4:8], "little")
    if end > len(message):
        raise MalformedCiphertext("the first segment is longer than the message")

    def pointer(at: int) -> tuple[int, int, int]:
        """Return kind, target and the upper half of the pointer at byte `at`."""
        if not base <= at <= end - _WORD:
            raise MalformedCiphertext("a pointer lies outside the first segment")
        low, high = (int.from_bytes(message[at + i : at + i + 4], "little") for i in (0, 4))
        offset = (low >> 2) - (1 << 30 if low >> 31 else 0)
        return low & 3, at + _WORD * (1 + offset), high

    def struct_pointers(at: int) -> int:
        """Return the byte at which the pointer section of the struct behind the pointer at `at` begins."""
        kind, target, sizes = pointer(at)
        if kind != _STRUCT or sizes >> 16 == 0:
            raise MalformedCiphertext("expected a struct with pointers")
        return target + _WORD * (sizes & 0xFFFF)

    def list_of(at: int, code: int) -> tuple[int, int]:
        kind, target, size = pointer(at)
        if kind != _LIST or size & 7 != code:
            raise MalformedCiphertext("expected a list of another kind")
        return target, size >> 3

    payload = struct_pointers(struct_pointers(base))
    chunks, count = list_of(payload, _POINTERS)
    if count != 1:
        raise MalformedCiphertext(f"expected the words in one piece, found {count}")
    start, size = list_of(chunks, _BYTES)
    if start < base or start + size > end or size % _WORD:
        raise MalformedCiphertext("the words lie outside the first segment")
    return Payload(start, start + size)


def words_of(message: bytes) -> Words:
    """Return the words of a serialised `Value` as one flat array."""
    payload = find_payload(message)
    return np.frombuffer(message[payload.start : payload.stop], dtype="<u8").astype(np.uint64)


def phases(words: Words, secret_bits: Words) -> Words:
    """Return body - <mask, s> mod 2^64 for each ciphertext; shapes (count, n+1), (n,) -> (count,)."""
    # uint64 products and sums wrap, which is the arithmetic wanted here.
    masked: Words = (words[:, :-1] * secret_bits).sum(axis=1, dtype=np.uint64)
    return np.asarray(words[:, -1] - masked, dtype=np.uint64)
