"""Size of a bit argument: what follows from the number of bits alone. Anyone may call it.

Folding halves the two vectors once per round; the argument stops early and sends what is left in the clear. That costs
some bytes, but the vectors then need padding only to a multiple of 2^rounds and not to a power of two.

>>> parameters = BitParameters.for_bits(660)
>>> parameters.rounds, parameters.padded, parameters.tail, parameters.proof_bytes
(5, 672, 21, 2113)
"""

from dataclasses import dataclass

from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.generators import MAX_GENERATORS
from atomic_margin.zk.groups import POINT_BYTES, SCALAR_BYTES

MAX_BITS = MAX_GENERATORS
MAX_ROUNDS = 12


@dataclass(frozen=True)
class BitParameters:
    """``bits`` committed bits, folded ``rounds`` times.

    Raises:
        StatementError: no bits, more than `MAX_BITS`, or more rounds than the bits allow.
    """

    bits: int
    rounds: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise StatementError(f"an argument is about 1 to {MAX_BITS} bits, not {self.bits}")
        if not 0 <= self.rounds <= MAX_ROUNDS or self.padded > MAX_BITS:
            raise StatementError(f"{self.bits} bits cannot be folded {self.rounds} times")

    @classmethod
    def for_bits(cls, bits: int) -> "BitParameters":
        """Choose the rounds: fold down to 16, at most 5 times up to 2048 bits and 6 times above.

        Every further round would cost the prover a multiplication over all generators to save less than 700 bytes.
        """
        limit = 5 if bits <= 2048 else 6
        return cls(bits, next((rounds for rounds in range(limit) if bits <= 16 << rounds), limit))

    @property
    def tail(self) -> int:
        """Length of the two vectors sent in the clear."""
        return -(-self.bits // (1 << self.rounds))

    @property
    def padded(self) -> int:
        """Number of bits with padding: a multiple of 2^rounds."""
        return self.tail << self.rounds

    @property
    def proof_bytes(self) -> int:
        """Size of a proof: version, A, S, T1, T2, three scalars, L and R per round, two tails."""
        return 1 + (4 + 2 * self.rounds) * POINT_BYTES + (3 + 2 * self.tail) * SCALAR_BYTES
