"""The sharing statement: whose openings are shared, among which custodians, and how many of them it takes.

Anyone may call it.

>>> custodians = tuple(Custodian(point, bytes([point]) * 32) for point in (1, 2, 3, 4))
>>> statement = SharingStatement((bytes(48),), 2, custodians, {"institution": "fund", "submission": "1"})
>>> statement.points
(1, 2, 3, 4)
>>> SharingStatement((bytes(48),), 5, custodians, {"institution": "fund"})
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.StatementError: threshold is 5, allowed is 2 to 4
"""

from collections.abc import Mapping
from dataclasses import dataclass

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.generators import generators_hash
from atomic_margin.zk.statements import checks

NAME = "sharing"
MIN_THRESHOLD = 2
"""With one, every custodian could read the book alone."""
MAX_CUSTODIANS = 16
MAX_POINT = (1 << 16) - 1
IDENTITY_BYTES = 32


@dataclass(frozen=True)
class Custodian:
    """One who holds shares.

    Attributes:
        point: where all polynomials are evaluated for it, 1 to 65,535; at 0 they have the secrets.
        identity: its Ed25519 identity key, 32 bytes.

    Raises:
        StatementError: another point, or no key.
    """

    point: int
    identity: bytes

    def __post_init__(self) -> None:
        checks.integer("point of a custodian", self.point, 1, MAX_POINT)
        identity: object = self.identity
        if not isinstance(identity, bytes) or len(identity) != IDENTITY_BYTES:
            raise StatementError(f"identity of the custodian at point {self.point} is not {IDENTITY_BYTES} bytes")


@dataclass(frozen=True)
class SharingStatement:
    """The openings of ``commitments`` are shared: any ``threshold`` of ``custodians`` have them, fewer know nothing.

    Attributes:
        commitments: compressed Pedersen commitments to the N entries, those of the portfolio statement; N at most 4096.
        threshold: how many custodians it takes, t: 2 to their number.
        custodians: 2 to 16, by ascending point, no identity twice.
        context: everything else the deal belongs to, as labelled strings.

    Raises:
        StatementError: sizes, points or identities outside these bounds.
    """

    commitments: tuple[bytes, ...]
    threshold: int
    custodians: tuple[Custodian, ...]
    context: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "commitments", checks.commitments(self.commitments))
        object.__setattr__(self, "custodians", _custodians(self.custodians))
        checks.integer("threshold", self.threshold, MIN_THRESHOLD, len(self.custodians))
        object.__setattr__(self, "context", checks.context(self.context))

    @property
    def entries(self) -> int:
        """Number of entries N."""
        return len(self.commitments)

    @property
    def points(self) -> tuple[int, ...]:
        """Where the polynomials are evaluated, custodian by custodian."""
        return tuple(custodian.point for custodian in self.custodians)

    def binding(self) -> tuple[tuple[str, bytes], ...]:
        """Return every byte a deal is bound to: the transcript absorbs all of it first."""
        custodians = [{"identity": one.identity.hex(), "point": str(one.point)} for one in self.custodians]
        public = canonical_bytes(
            {
                "context": self.context,
                "custodians": custodians,
                "entries": str(self.entries),
                "statement": NAME,
                "threshold": str(self.threshold),
                "version": checks.PROTOCOL_VERSION,
            }
        )
        return (
            ("public", public),
            ("commitments", b"".join(self.commitments)),
            ("generators", bytes.fromhex(generators_hash())),
        )


def _custodians(values: object) -> tuple[Custodian, ...]:
    if not isinstance(values, tuple | list) or not all(isinstance(value, Custodian) for value in values):
        raise StatementError("custodians are a tuple of Custodian")
    if not MIN_THRESHOLD <= len(values) <= MAX_CUSTODIANS:
        raise StatementError(
            f"a book is shared among {MIN_THRESHOLD} to {MAX_CUSTODIANS} custodians, got {len(values)}"
        )
    for index in range(1, len(values)):
        before, point = values[index - 1].point, values[index].point
        if point <= before:
            raise StatementError(
                f"custodians[{index}] has the point {point} after {before}: order them by points, each point once"
            )
    if len({value.identity for value in values}) < len(values):
        raise StatementError("two custodians have one identity: whoever holds two shares counts twice")
    return tuple(values)
