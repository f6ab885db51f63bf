"""A deal and a custodian's shares as bytes: one version, fixed lengths, nothing after the end. Anyone may call it.

A *deal* is public: commitments to the coefficients of all polynomials but the constant ones, which the statement has.
Its hash names it everywhere: it depends on every byte of statement and deal, and each custodian's shares carry it.

    deal      01 | C of degree 1, entry by entry | … | C of degree t - 1
    shares    01 | hash of the deal, 32 bytes | point, 2 bytes | value and blinding, 32 bytes each, entry by entry

>>> from atomic_margin.zk.sharing.statement import Custodian
>>> custodians = tuple(Custodian(point, bytes([point]) * 32) for point in (1, 2, 3, 4))
>>> Deal.from_bytes(b"", SharingStatement((bytes(48),) * 128, 2, custodians, {"institution": "fund"}))
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.SharingEncodingError: a deal of 128 entries with threshold 2 is 6145 bytes, got 0
"""

import functools
import itertools
from dataclasses import dataclass, field

from atomic_margin.zk.errors import SharingEncodingError
from atomic_margin.zk.groups import ORDER, POINT_BYTES, SCALAR_BYTES
from atomic_margin.zk.sharing.statement import NAME, SharingStatement
from atomic_margin.zk.transcript import Transcript

DEAL_VERSION, SHARES_VERSION = 1, 1
HASH_BYTES = 32
_INDEX_BYTES = 2
_HEAD_BYTES = 1 + HASH_BYTES + _INDEX_BYTES


@dataclass(frozen=True)
class Deal:
    """A statement and the encoded commitments to coefficients: ``coefficients[k - 1][i]`` is that of X^k of entry i.

    Raises:
        SharingEncodingError: another number of degrees or entries than the statement's, or not 48 bytes each.
    """

    statement: SharingStatement
    coefficients: tuple[tuple[bytes, ...], ...]

    def __post_init__(self) -> None:
        expected = (self.statement.threshold - 1, {self.statement.entries}, {POINT_BYTES})
        found = (
            len(self.coefficients),
            {len(column) for column in self.coefficients},
            {len(point) for column in self.coefficients for point in column},
        )
        if found != expected:
            raise SharingEncodingError(
                f"with threshold {self.statement.threshold} a deal has {expected[0]} coefficients of each of "
                f"{self.statement.entries} entries, {POINT_BYTES} bytes long"
            )

    @functools.cached_property
    def hash(self) -> bytes:
        """32 bytes that depend on every byte of statement and deal."""
        return self.transcript()[1]

    def transcript(self) -> tuple[Transcript, bytes]:
        """Return the transcript that has absorbed statement and deal, and the deal's hash, drawn from it."""
        transcript = Transcript(NAME, self.statement.binding())
        for column in self.coefficients:
            transcript.absorb("C", b"".join(column))
        return transcript, transcript.challenge("deal").to_bytes(HASH_BYTES, "big")

    def to_bytes(self) -> bytes:
        """Return the version byte and all commitments."""
        return bytes([DEAL_VERSION]) + b"".join(itertools.chain.from_iterable(self.coefficients))

    @classmethod
    def from_bytes(cls, data: bytes, statement: SharingStatement) -> "Deal":
        """Cut ``data`` into commitments. Whether they are points is for `zk.sharing.check` to find.

        Raises:
            SharingEncodingError: the length or the version is not what ``statement`` calls for.
        """
        name = f"a deal of {statement.entries} entries with threshold {statement.threshold}"
        require_form(data, deal_bytes(statement), DEAL_VERSION, name)
        return cls(statement, cut(data[1:], statement.entries))


@dataclass(frozen=True)
class Shares:
    """What one custodian has of every entry. Nothing secret of it appears in its ``repr``.

    Attributes:
        custodian: its point.
        deal: hash of the deal.
        values: of each entry's value, modulo r.
        blindings: of each entry's blinding, modulo r.
    """

    custodian: int
    deal: bytes
    values: tuple[int, ...] = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return version, hash, point and all shares."""
        head = bytes([SHARES_VERSION]) + self.deal + self.custodian.to_bytes(_INDEX_BYTES, "big")
        pairs = zip(self.values, self.blindings, strict=True)
        return head + b"".join(share.to_bytes(SCALAR_BYTES, "big") for pair in pairs for share in pair)

    @classmethod
    def from_bytes(cls, data: bytes, statement: SharingStatement, entries: int | None = None) -> "Shares":
        """Read the shares of one of the statement's custodians, of all entries or of so many.

        Raises:
            SharingEncodingError: length, version or point are not what ``statement`` calls for, or a scalar is not
                below the group order.
        """
        entries = statement.entries if entries is None else entries
        require_form(data, shares_bytes(entries), SHARES_VERSION, f"a custodian's shares of {entries} entries")
        custodian = int.from_bytes(data[_HEAD_BYTES - _INDEX_BYTES : _HEAD_BYTES], "big")
        if custodian not in statement.points:
            raise SharingEncodingError(f"shares of point {custodian}, where the statement has no custodian")
        scalars = [
            int.from_bytes(data[start : start + SCALAR_BYTES], "big")
            for start in range(_HEAD_BYTES, len(data), SCALAR_BYTES)
        ]
        for index, scalar in enumerate(scalars):
            if scalar >= ORDER:
                what = ("value", "blinding")[index % 2]
                raise SharingEncodingError(f"the {what} of entry {index // 2}: a scalar is below the group order")
        return cls(custodian, data[1 : 1 + HASH_BYTES], tuple(scalars[::2]), tuple(scalars[1::2]))


def deal_bytes(statement: SharingStatement) -> int:
    """Return the size of a deal: it travels once for all custodians."""
    return 1 + (statement.threshold - 1) * statement.entries * POINT_BYTES


def shares_bytes(entries: int) -> int:
    """Return the size of one custodian's shares."""
    return _HEAD_BYTES + 2 * entries * SCALAR_BYTES


def cut(data: bytes, entries: int) -> tuple[tuple[bytes, ...], ...]:
    """Return the points in ``data``, degree by degree."""
    points = [data[start : start + POINT_BYTES] for start in range(0, len(data), POINT_BYTES)]
    return tuple(tuple(points[start : start + entries]) for start in range(0, len(points), entries))


def require_form(data: object, size: int, version: int, name: str) -> None:
    """Make sure that ``data`` are bytes of this size with this version in front.

    Raises:
        SharingEncodingError: they are not; says so of ``name``.
    """
    if not isinstance(data, bytes):
        raise SharingEncodingError(f"{name} is bytes, got {type(data).__name__}")
    if len(data) != size:
        raise SharingEncodingError(f"{name} is {size} bytes, got {len(data)}")
    if data[0] != version:
        raise SharingEncodingError(f"{name}: version {data[0]} is unknown; this release reads {version}")
