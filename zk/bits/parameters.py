"""Size of a bit argument: what follows from the number of bits alone. Anyone may call it.

Folding halves the two vectors once per round; the argument stops early and sends what is left in the clear. That costs
some bytes, but the vectors then need padding only to a multiple of 2^rounds and not to a power of two.

>>> parameters = BitParameters.for_bits(660)
>>> parameters.rounds, parameters.padded, parameters.tail, parameters.proof_bytes
(5, 672, 21, 2113)

More bits than there are generators are committed to in chunks of equal length, all under the same generators:

>>> parameters = BitParameters.for_bits(149_504)
>>> parameters.chunks, parameters.length, parameters.tail, parameters.proof_bytes
(20, 7488, 117, 12049)
"""

from dataclasses import dataclass

from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.generators import MAX_GENERATORS
from atomic_margin.zk.groups import POINT_BYTES, SCALAR_BYTES

MAX_BITS = 1 << 18
"""Committed bits of one argument: 4,096 ciphertexts of 32-bit entries, and their key."""
MAX_ROUNDS = 12
ONE_CHUNK_BITS = 1024
"""Arguments about so many bits stay in one piece, as they were before there were chunks."""
MAX_CHUNKS = 32
CHUNKS = 20
"""How many a long argument is cut into: more of them cost field arithmetic, fewer ones points."""


@dataclass(frozen=True)
class BitParameters:
    """``bits`` committed bits in ``chunks`` of equal length, which are joined and then folded ``rounds`` times.

    Raises:
        StatementError: no bits, more than `MAX_BITS`, more rounds than the bits allow, more than `MAX_CHUNKS` chunks or
            one that is longer than there are generators.
    """

    bits: int
    rounds: int
    chunks: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise StatementError(f"an argument is about 1 to {MAX_BITS} bits, not {self.bits}")
        if not 1 <= self.chunks <= min(MAX_CHUNKS, self.bits):
            raise StatementError(f"{self.bits} bits are not committed to in {self.chunks} chunks")
        if not 0 <= self.rounds <= MAX_ROUNDS or self.length > MAX_GENERATORS:
            raise StatementError(f"{self.bits} bits in {self.chunks} chunks cannot be folded {self.rounds} times")

    @classmethod
    def for_bits(cls, bits: int) -> "BitParameters":
        """Choose the rounds: fold down to 16, at most 5 times up to 2048 bits a chunk and 6 times above.

        Every further round would cost the prover a multiplication over all generators to save less than 700 bytes.
        """
        chunks = 1 if bits <= ONE_CHUNK_BITS else CHUNKS
        each = -(-bits // chunks)
        limit = 5 if each <= 2048 else 6
        return cls(bits, next((rounds for rounds in range(limit) if each <= 16 << rounds), limit), chunks)

    @property
    def tail(self) -> int:
        """Length of the two vectors sent in the clear."""
        return -(-self.bits // (self.chunks << self.rounds))

    @property
    def length(self) -> int:
        """Number of bits in each chunk with padding, and of generators in each vector: a multiple of 2^rounds."""
        return self.tail << self.rounds

    @property
    def padded(self) -> int:
        """Number of bits with padding, over all chunks."""
        return self.chunks * self.length

    @property
    def vector_points(self) -> int:
        """Commitments to the bits: one for both vectors of a single chunk, two for each of several."""
        return 1 if self.chunks == 1 else 2 * self.chunks

    @property
    def cross_exponents(self) -> tuple[int, ...]:
        """Exponents of the challenge that joins the chunks, other than 0, in the order their coefficients are sent.

        >>> BitParameters(9, 0, 3).cross_exponents
        (1, 2, -1, -2)
        """
        upper = range(1, self.chunks)
        return (*upper, *(-exponent for exponent in upper))

    @property
    def proof_bytes(self) -> int:
        """Size of a proof: version, vectors, S, cross terms, T1, T2, three scalars, L and R per round, two tails."""
        points = self.vector_points + len(self.cross_exponents) + 3 + 2 * self.rounds
        return 1 + points * POINT_BYTES + (3 + 2 * self.tail) * SCALAR_BYTES
