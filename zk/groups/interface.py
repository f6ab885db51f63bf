"""What the proofs need from a group of prime order: one interface, two backends. Anyone may call it.

Points and scalars are values of the backend. They support ``+``, ``-`` and ``==`` (scalars also ``*``), so vector code
maps `operator.mul` over them without knowing the backend. Values of two backends never mix; bytes travel between them.

>>> from atomic_margin.zk.groups import load_group
>>> group = load_group("auto")
>>> two, three = group.scalar(2), group.scalar(-5)
>>> group.integer(two * three) == ORDER - 10
True
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Order r of the subgroup G1 of BLS12-381: a prime of 255 bits."""

POINT_BYTES = 48
SCALAR_BYTES = 32

_S = TypeVar("_S", bound="Scalar")
_P = TypeVar("_P", bound="Point")


class Scalar(Protocol):
    """An integer modulo `ORDER`, as the backend represents it."""

    def __add__(self: _S, other: _S, /) -> _S: ...
    def __sub__(self: _S, other: _S, /) -> _S: ...
    def __mul__(self: _S, other: _S, /) -> _S: ...
    def __neg__(self: _S) -> _S: ...


class Point(Protocol):
    """An element of G1, as the backend represents it."""

    def __add__(self: _P, other: _P, /) -> _P: ...
    def __sub__(self: _P, other: _P, /) -> _P: ...
    def __neg__(self: _P) -> _P: ...


class Group(ABC):
    """The prime-order subgroup G1 of BLS12-381. Decoding refuses everything but the one canonical encoding."""

    name: str

    @abstractmethod
    def scalar(self, value: int) -> Scalar:
        """Return ``value`` modulo `ORDER`."""

    def scalars(self, values: Iterable[int]) -> list[Scalar]:
        """Return every value modulo `ORDER`."""
        return [self.scalar(value) for value in values]

    @abstractmethod
    def integer(self, scalar: Scalar) -> int:
        """Return the representative in [0, `ORDER`)."""

    @abstractmethod
    def invert(self, scalar: Scalar) -> Scalar:
        """Return the multiplicative inverse.

        Raises:
            ZeroDivisionError: ``scalar`` is zero.
        """

    @abstractmethod
    def encode_scalar(self, scalar: Scalar) -> bytes:
        """Return 32 bytes, big-endian."""

    @abstractmethod
    def decode_scalar(self, data: bytes) -> Scalar:
        """Read 32 bytes, big-endian, below `ORDER`.

        Raises:
            ScalarEncodingError: anything else.
        """

    @abstractmethod
    def identity(self) -> Point:
        """Return the neutral element."""

    @abstractmethod
    def encode_point(self, point: Point) -> bytes:
        """Return the 48-byte compressed encoding."""

    @abstractmethod
    def decode_point(self, data: bytes, *, allow_identity: bool = False) -> Point:
        """Read a compressed point and check that it is canonical, on the curve and in the subgroup.

        Raises:
            PointEncodingError: it is not, or it is the identity and ``allow_identity`` is not set.
        """

    @abstractmethod
    def decode_trusted_point(self, data: bytes) -> Point:
        """Read a compressed point without the subgroup check: only for bytes whose hash is pinned in the code."""

    @abstractmethod
    def hash_to_point(self, message: bytes, tag: bytes) -> Point:
        """Hash to G1 with BLS12381G1_XMD:SHA-256_SSWU_RO_ (RFC 9380, section 8.8.1) under the domain tag."""

    @abstractmethod
    def multiply(self, point: Point, scalar: Scalar) -> Point:
        """Return ``scalar`` times ``point``."""

    def add_up(self, points: Iterable[Point]) -> Point:
        """Return the sum of ``points``: one addition for each, which is far less than a multiplication by 0 or 1."""
        return sum(points, self.identity())

    @abstractmethod
    def msm(self, points: Sequence[Point], scalars: Sequence[Scalar]) -> Point:
        """Return the sum of ``scalars[i] * points[i]``.

        Raises:
            ValueError: the lengths differ.
        """

    def msm_pair(
        self, first: tuple[Sequence[Point], Sequence[Scalar]], second: tuple[Sequence[Point], Sequence[Scalar]]
    ) -> tuple[Point, Point]:
        """Return two multi-scalar multiplications, side by side where the backend can.

        Raises:
            ValueError: the lengths of points and scalars differ.
        """
        return self.msm(*first), self.msm(*second)
