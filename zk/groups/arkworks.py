"""The fast backend: arkworks through py_arkworks_bls12381. Call it through `load_group("arkworks")`.

Only what versions 0.3.8 to 0.5 have in common is used. Two traps of the library are closed here: its point parser takes
thirteen malformed encodings for the identity, and its multi-scalar multiplication drops the surplus of the longer list.

>>> group = ArkworksGroup()
>>> group.decode_point(bytes.fromhex("e0" + 47 * "00"), allow_identity=True)
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.PointEncodingError: not the canonical encoding of a G1 point
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from py_arkworks_bls12381 import G1Point
from py_arkworks_bls12381 import Scalar as NativeScalar

from atomic_margin.zk.errors import PointEncodingError, ScalarEncodingError
from atomic_margin.zk.groups.interface import ORDER, POINT_BYTES, SCALAR_BYTES, Group, Point, Scalar

# Below this size starting a thread costs more than it saves.
_THREADED_FROM = 192


class ArkworksGroup(Group):
    """G1 on native code."""

    name = "arkworks"

    def __init__(self) -> None:
        self._identity = G1Point.identity()
        self._native_hash = hasattr(G1Point, "hash_to_curve")
        # Versions without hash_to_curve use every core inside one multiplication; a second thread would only get in
        # the way. Later ones use one core and release the interpreter lock.
        self._two_threads = self._native_hash and (os.cpu_count() or 1) > 1

    def scalar(self, value: int) -> Scalar:  # noqa: D102 - described by the interface, as are the methods below
        return NativeScalar.from_le_bytes((value % ORDER).to_bytes(SCALAR_BYTES, "little"))

    def integer(self, scalar: Scalar) -> int:  # noqa: D102
        return int.from_bytes(bytes(cast(NativeScalar, scalar).to_le_bytes()), "little")

    def invert(self, scalar: Scalar) -> Scalar:  # noqa: D102
        native = cast(NativeScalar, scalar)
        if native.is_zero():
            raise ZeroDivisionError("zero has no inverse modulo the group order")
        return native.inverse()

    def encode_scalar(self, scalar: Scalar) -> bytes:  # noqa: D102
        # Old versions return a list of integers.
        return bytes(cast(NativeScalar, scalar).to_le_bytes())[::-1]

    def decode_scalar(self, data: bytes) -> Scalar:  # noqa: D102
        if len(data) != SCALAR_BYTES:
            raise ScalarEncodingError(f"a scalar is {SCALAR_BYTES} bytes, got {len(data)}")
        if int.from_bytes(data, "big") >= ORDER:
            raise ScalarEncodingError("a scalar is below the group order")
        return NativeScalar.from_le_bytes(data[::-1])

    def identity(self) -> Point:  # noqa: D102
        return self._identity

    def encode_point(self, point: Point) -> bytes:  # noqa: D102
        return bytes(cast(G1Point, point).to_compressed_bytes())

    def decode_point(self, data: bytes, *, allow_identity: bool = False) -> Point:  # noqa: D102
        if len(data) != POINT_BYTES:
            raise PointEncodingError(f"a compressed G1 point is {POINT_BYTES} bytes, got {len(data)}")
        try:
            point = G1Point.from_compressed_bytes(data)
        except ValueError:
            raise PointEncodingError("not a point of the prime-order subgroup of G1") from None
        if bytes(point.to_compressed_bytes()) != data:
            raise PointEncodingError("not the canonical encoding of a G1 point")
        if not allow_identity and point == self._identity:
            raise PointEncodingError("the identity is refused here")
        return point

    def decode_trusted_point(self, data: bytes) -> Point:  # noqa: D102
        return G1Point.from_compressed_bytes_unchecked(data)

    def hash_to_point(self, message: bytes, tag: bytes) -> Point:  # noqa: D102
        if self._native_hash:
            return G1Point.hash_to_curve(message, tag)
        from atomic_margin.zk.groups.reference import ReferenceGroup

        reference = ReferenceGroup()
        return self.decode_point(reference.encode_point(reference.hash_to_point(message, tag)), allow_identity=True)

    def multiply(self, point: Point, scalar: Scalar) -> Point:  # noqa: D102
        return cast(G1Point, point) * cast(NativeScalar, scalar)

    def msm(self, points: Sequence[Point], scalars: Sequence[Scalar]) -> Point:  # noqa: D102
        if not self._two_threads or len(points) < _THREADED_FROM:
            return self._multiply_out(points, scalars)
        if len(points) != len(scalars):
            raise ValueError(f"{len(points)} points but {len(scalars)} scalars")
        half = len(points) // 2
        # A pool for the one call: it outlives nothing, so a process that forks later inherits no dead threads.
        with ThreadPoolExecutor(max_workers=1) as pool:
            lower = pool.submit(self._multiply_out, points[:half], scalars[:half])
            upper = self._multiply_out(points[half:], scalars[half:])
            return lower.result() + upper

    def msm_pair(  # noqa: D102
        self, first: tuple[Sequence[Point], Sequence[Scalar]], second: tuple[Sequence[Point], Sequence[Scalar]]
    ) -> tuple[Point, Point]:
        if not self._two_threads or min(len(first[0]), len(second[0])) < _THREADED_FROM:
            return self.msm(*first), self.msm(*second)
        # One thread for each: two whole multiplications take less work than four halves.
        with ThreadPoolExecutor(max_workers=1) as pool:
            waiting = pool.submit(self._multiply_out, *first)
            there = self._multiply_out(*second)
            return waiting.result(), there

    @staticmethod
    def _multiply_out(points: Sequence[Point], scalars: Sequence[Scalar]) -> Point:
        if len(points) != len(scalars):
            raise ValueError(f"{len(points)} points but {len(scalars)} scalars")
        if not points:
            return G1Point.identity()
        native_points: Any = list(points)
        native_scalars: Any = list(scalars)
        return G1Point.multiexp_unchecked(native_points, native_scalars)
