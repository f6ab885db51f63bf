"""Commitments to an LWE secret key, packed: what links one key through all proofs about it. Anyone may call it.

The bits of the key are packed into integers of 248 bits, lowest bit first, and each integer has a Pedersen commitment.
Every encryption and decryption proof shows that the key bits it speaks of make up the same committed integers, so all
of them speak of one key. The commitments come without a proof of their own: that they hold bits, and that the prover
knows them, is part of every encryption and decryption proof. Until one of these has been verified they mean nothing.

A key set may hold several secret keys; each has its own commitments.

>>> KeyCommitments(dimension=250, commitments=(bytes(48), bytes(48))).chunks
((0, 248), (248, 2))
"""

import hashlib
from dataclasses import dataclass

from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.groups import POINT_BYTES
from atomic_margin.zk.statements import checks

CHUNK_BITS = 248
"""Bits of the key in one commitment: as many whole bytes as surely stay below the 255-bit group order."""
MAX_DIMENSION = 8192
_DOMAIN = b"atomic-margin/v1/zk/key commitments"


@dataclass(frozen=True)
class KeyCommitments:
    """Commitments to the ``dimension`` bits of one binary LWE secret key.

    Attributes:
        dimension: LWE dimension n, 1 to 8192.
        commitments: compressed points, one for every 248 bits.

    Raises:
        StatementError: another dimension, or another number of commitments than it takes.
    """

    dimension: int
    commitments: tuple[bytes, ...]

    def __post_init__(self) -> None:
        checks.integer("dimension", self.dimension, 1, MAX_DIMENSION)
        if len(self.commitments) != len(self.chunks):
            raise StatementError(
                f"a key of dimension {self.dimension} has {len(self.chunks)} commitments, got {len(self.commitments)}"
            )
        object.__setattr__(self, "commitments", checks.commitments(self.commitments))

    @property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """First bit and number of bits of every chunk."""
        starts = range(0, self.dimension, CHUNK_BITS)
        return tuple((start, min(CHUNK_BITS, self.dimension - start)) for start in starts)

    @property
    def hash(self) -> str:
        """SHA-256 over the dimension and all commitments, in hex: the name of the key in documents and trust files."""
        return key_commitment_hash(self.dimension, self.commitments)


def key_commitment_hash(dimension: int, commitments: tuple[bytes, ...]) -> str:
    """Return SHA-256 over a domain tag, both sizes and the commitments in order, in hex."""
    digest = hashlib.sha256(_DOMAIN)
    for size in (dimension, CHUNK_BITS, len(commitments), POINT_BYTES):
        digest.update(size.to_bytes(8, "big"))
    digest.update(b"".join(commitments))
    return digest.hexdigest()
