"""The readable backend: py_ecc in pure Python. Call it through `load_group("reference")`.

It is there to be read and to be compared with: about fifty times slower than arkworks, the same results.

>>> group = ReferenceGroup()
>>> group.integer(group.invert(group.scalar(2)) * group.scalar(2))
1
"""

import hashlib
import sys
from collections.abc import Sequence
from typing import Any, cast

from atomic_margin.zk.errors import PointEncodingError, ScalarEncodingError
from atomic_margin.zk.groups.interface import ORDER, POINT_BYTES, SCALAR_BYTES, Group, Point, Scalar

# py_ecc raises the recursion limit of the whole process to 100,000, with which deep JSON from outside ends a server by
# running out of stack. It does not need that.
_LIMIT = sys.getrecursionlimit()
from py_ecc.bls.hash_to_curve import hash_to_G1  # noqa: E402
from py_ecc.bls.point_compression import compress_G1, decompress_G1  # noqa: E402
from py_ecc.optimized_bls12_381 import Z1, add, double, eq, is_inf, multiply, neg  # noqa: E402

sys.setrecursionlimit(_LIMIT)


class ReferenceScalar:
    """An integer modulo the group order."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value % ORDER

    def __add__(self, other: "ReferenceScalar", /) -> "ReferenceScalar":
        return ReferenceScalar(self.value + other.value)

    def __sub__(self, other: "ReferenceScalar", /) -> "ReferenceScalar":
        return ReferenceScalar(self.value - other.value)

    def __mul__(self, other: "ReferenceScalar", /) -> "ReferenceScalar":
        return ReferenceScalar(self.value * other.value)

    def __neg__(self) -> "ReferenceScalar":
        return ReferenceScalar(-self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReferenceScalar) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class ReferencePoint:
    """A point in the projective coordinates of py_ecc."""

    __slots__ = ("coordinates",)

    def __init__(self, coordinates: Any) -> None:
        self.coordinates = coordinates

    def __add__(self, other: "ReferencePoint", /) -> "ReferencePoint":
        return ReferencePoint(add(self.coordinates, other.coordinates))

    def __sub__(self, other: "ReferencePoint", /) -> "ReferencePoint":
        return ReferencePoint(add(self.coordinates, neg(other.coordinates)))

    def __neg__(self) -> "ReferencePoint":
        return ReferencePoint(neg(self.coordinates))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReferencePoint) and bool(eq(self.coordinates, other.coordinates))

    def __hash__(self) -> int:
        return hash(compress_G1(self.coordinates))


class ReferenceGroup(Group):
    """G1 on Python integers."""

    name = "reference"

    def scalar(self, value: int) -> Scalar:  # noqa: D102 - described by the interface, as are the methods below
        return ReferenceScalar(value)

    def integer(self, scalar: Scalar) -> int:  # noqa: D102
        return cast(ReferenceScalar, scalar).value

    def invert(self, scalar: Scalar) -> Scalar:  # noqa: D102
        value = self.integer(scalar)
        if value == 0:
            raise ZeroDivisionError("zero has no inverse modulo the group order")
        return ReferenceScalar(pow(value, -1, ORDER))

    def encode_scalar(self, scalar: Scalar) -> bytes:  # noqa: D102
        return self.integer(scalar).to_bytes(SCALAR_BYTES, "big")

    def decode_scalar(self, data: bytes) -> Scalar:  # noqa: D102
        if len(data) != SCALAR_BYTES:
            raise ScalarEncodingError(f"a scalar is {SCALAR_BYTES} bytes, got {len(data)}")
        value = int.from_bytes(data, "big")
        if value >= ORDER:
            raise ScalarEncodingError("a scalar is below the group order")
        return ReferenceScalar(value)

    def identity(self) -> Point:  # noqa: D102
        return ReferencePoint(Z1)

    def encode_point(self, point: Point) -> bytes:  # noqa: D102
        return int(compress_G1(cast(ReferencePoint, point).coordinates)).to_bytes(POINT_BYTES, "big")

    def decode_point(self, data: bytes, *, allow_identity: bool = False) -> Point:  # noqa: D102
        if len(data) != POINT_BYTES:
            raise PointEncodingError(f"a compressed G1 point is {POINT_BYTES} bytes, got {len(data)}")
        point = self.decode_trusted_point(data)
        coordinates = cast(ReferencePoint, point).coordinates
        if not is_inf(multiply(coordinates, ORDER)):
            raise PointEncodingError("not a point of the prime-order subgroup of G1")
        if self.encode_point(point) != data:
            raise PointEncodingError("not the canonical encoding of a G1 point")
        if not allow_identity and is_inf(coordinates):
            raise PointEncodingError("the identity is refused here")
        return point

    def decode_trusted_point(self, data: bytes) -> Point:  # noqa: D102
        try:
            return ReferencePoint(decompress_G1(int.from_bytes(data, "big")))
        except ValueError:
            raise PointEncodingError("not a point of the curve") from None

    def hash_to_point(self, message: bytes, tag: bytes) -> Point:  # noqa: D102
        return ReferencePoint(hash_to_G1(message, tag, hashlib.sha256))

    def multiply(self, point: Point, scalar: Scalar) -> Point:  # noqa: D102
        return ReferencePoint(multiply(cast(ReferencePoint, point).coordinates, self.integer(scalar)))

    def msm(self, points: Sequence[Point], scalars: Sequence[Scalar]) -> Point:
        """Sort the points into buckets by each window of their scalar, highest window first (Pippenger)."""
        if len(points) != len(scalars):
            raise ValueError(f"{len(points)} points but {len(scalars)} scalars")
        pairs = [
            (cast(ReferencePoint, point).coordinates, value)
            for point, scalar in zip(points, scalars, strict=True)
            if (value := self.integer(scalar))
        ]
        longest = max((value.bit_length() for _, value in pairs), default=0)
        window = max(2, len(pairs).bit_length() - 2)
        total = Z1
        for start in reversed(range(0, longest, window)):
            for _ in range(window):
                total = double(total)
            buckets = [Z1] * (1 << window)
            for point, value in pairs:
                digit = (value >> start) & ((1 << window) - 1)
                if digit:
                    buckets[digit] = add(buckets[digit], point)
            # Sum of digit * bucket: a running sum from the highest bucket down counts each bucket digit times.
            running = Z1
            for bucket in reversed(buckets[1:]):
                running = add(running, bucket)
                total = add(total, running)
        return ReferencePoint(total)
