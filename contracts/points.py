"""Points of G1 as contracts take them: x and y, 48 bytes each. For the modules of this room.

Y is not sent with a compressed point; it is a square root, of which the flag in the first byte says which.

>>> from atomic_margin.zk.pinned import VALUE_BASE
>>> point = uncompressed(bytes.fromhex(VALUE_BASE))
>>> len(point), point[:48].hex()[1:] == VALUE_BASE[1:]
(96, True)
"""

PRIME = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
"""The coordinates' field."""
UNCOMPRESSED_BYTES = 96
_COORDINATE = 48
_FLAGS = 0b111
_LARGER = 0b001


def uncompressed(point: bytes) -> bytes:
    """Return x and y of a compressed point that a group has decoded, so that it is canonical and on the curve."""
    flags = point[0] >> 5
    x = int.from_bytes(point, "big") & ((1 << 381) - 1)
    # The prime is 3 modulo 4.
    y = pow(x**3 + 4, (PRIME + 1) // 4, PRIME)
    if (y > PRIME // 2) != bool(flags & _FLAGS & _LARGER):
        y = PRIME - y
    return x.to_bytes(_COORDINATE, "big") + y.to_bytes(_COORDINATE, "big")
