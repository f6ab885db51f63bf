"""Ed25519 public keys (RFC 8032, 5.1.3): which 32 bytes are one that a signature under it can be believed.

For `documents.fields`, through which every key enters, and for whoever parses a key that stands in no document. The
signature itself is the business of a library, but libraries accept keys that are no identity: under a point of small
order anybody can sign anything, and another spelling of a point makes two names of one key.

>>> fault_of("9f" * 32)
'no point of the curve of Ed25519 is spelt so; copy the key again from its owner'
>>> fault_of("01" + 31 * "00")
'a point of small order, under which anybody can sign; have its owner make a new key'
>>> fault_of("ee" + 30 * "ff" + "7f")
'not the one spelling of its point, y below 2^255 - 19 and no sign for x = 0; have its owner make a new key'
>>> fault_of("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
"""

from functools import lru_cache

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
"""The curve is y^2 - x^2 = 1 + d x^2 y^2 over the integers mod p."""

_OTHER_SPELLING = (
    "not the one spelling of its point, y below 2^255 - 19 and no sign for x = 0; have its owner make a new key"
)
_NO_POINT = "no point of the curve of Ed25519 is spelt so; copy the key again from its owner"
_SMALL_ORDER = "a point of small order, under which anybody can sign; have its owner make a new key"


# A tick repeats the keys of its few sources in every document, and the test takes some 0.1 ms.
@lru_cache(maxsize=4096)
def fault_of(key: str) -> str | None:
    """Return why a key, in 64 hex digits, is not to be trusted and what to do, or None for a good one."""
    word = int.from_bytes(bytes.fromhex(key), "little")
    sign, y = divmod(word, 1 << 255)
    square = y * y % P
    # x^2 is this by this. The divisor is never zero: -1/d is no square.
    over, under = (square - 1) % P, (D * square + 1) % P
    if y >= P or (sign and over == 0):
        return _OTHER_SPELLING
    if pow(over * under, (P - 1) // 2, P) == P - 1:
        return _NO_POINT
    # Order 1 and 2 have x = 0. Order 4 has y = 0, as has the double of order 8: its x^2 + y^2 is 0, so that the
    # equation of the curve reads 2 y^2 = 1 - d y^4.
    if over == 0 or y == 0 or (D * square * square + 2 * square - 1) % P == 0:
        return _SMALL_ORDER
    return None
