"""A bit proof as bytes: one version, fixed lengths, nothing after the end. Anyone may call it.

Components are kept encoded: whether they are points and scalars is for the verifier to check.

>>> from atomic_margin.zk.bits.parameters import BitParameters
>>> BitProof.from_bytes(b"", BitParameters.for_bits(8))
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 8 bits is 801 bytes, got 0
"""

from dataclasses import dataclass

from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.errors import ProofEncodingError
from atomic_margin.zk.groups import POINT_BYTES, SCALAR_BYTES

PROOF_VERSION, CHUNKS_VERSION = 3, 4
RETIRED_VERSIONS = frozenset({1, 2})
"""Proofs whose challenges were of another transcript (docs/adr/0078-one-transcript-everywhere.md)."""
"""First byte of a proof whose bits are in one piece, and in several chunks."""


@dataclass(frozen=True)
class BitProof:
    """The prover's messages in the order they are sent; ``folds`` are the pairs (L, R), one a round.

    For several chunks ``A`` is the commitment to the left vector of the first, to its right vector, and so on for all
    of them, and ``crosses`` are sent after ``S``. For one chunk ``A`` is a single point.
    """

    A: bytes
    S: bytes
    T1: bytes
    T2: bytes
    t_hat: bytes
    tau_x: bytes
    mu: bytes
    folds: tuple[tuple[bytes, bytes], ...]
    left: tuple[bytes, ...]
    right: tuple[bytes, ...]
    crosses: tuple[bytes, ...] = ()

    @property
    def tail(self) -> bytes:
        """Both folded vectors, as the transcript absorbs them."""
        return b"".join(self.left + self.right)

    def to_bytes(self) -> bytes:
        """Return the version byte and all components."""
        head = bytes([CHUNKS_VERSION if self.crosses else PROOF_VERSION]) + self.A + self.S + b"".join(self.crosses)
        head += self.T1 + self.T2 + self.t_hat + self.tau_x + self.mu
        return head + b"".join(L + R for L, R in self.folds) + self.tail

    @classmethod
    def from_bytes(cls, data: bytes, parameters: BitParameters) -> "BitProof":
        """Cut ``data`` into components.

        Raises:
            ProofEncodingError: the length or the version is not what ``parameters`` call for.
        """
        if not isinstance(data, bytes):
            raise ProofEncodingError(f"a proof is bytes, got {type(data).__name__}")
        if len(data) != parameters.proof_bytes:
            raise ProofEncodingError(
                f"a proof about {parameters.bits} bits is {parameters.proof_bytes} bytes, got {len(data)}"
            )
        version = PROOF_VERSION if parameters.chunks == 1 else CHUNKS_VERSION
        require_version(data[0], version, " at this size")
        position = 1

        def take(size: int) -> bytes:
            nonlocal position
            position += size
            return data[position - size : position]

        A, S = take(parameters.vector_points * POINT_BYTES), take(POINT_BYTES)
        crosses = tuple(take(POINT_BYTES) for _ in parameters.cross_exponents)
        T1, T2 = take(POINT_BYTES), take(POINT_BYTES)
        t_hat, tau_x, mu = (take(SCALAR_BYTES) for _ in range(3))
        folds = tuple((take(POINT_BYTES), take(POINT_BYTES)) for _ in range(parameters.rounds))
        left = tuple(take(SCALAR_BYTES) for _ in range(parameters.tail))
        right = tuple(take(SCALAR_BYTES) for _ in range(parameters.tail))
        return cls(A, S, T1, T2, t_hat, tau_x, mu, folds, left, right, crosses)


def require_version(found: int, read: int, where: str = "") -> None:
    """Make sure that a proof's first byte is what this release reads.

    Raises:
        ProofEncodingError: it is not.
    """
    if found != read:
        what = "is retired: its transcript was SHAKE256, prove again" if found in RETIRED_VERSIONS else "is unknown"
        raise ProofEncodingError(f"proof version {found} {what}; this release reads {read}{where}")
