"""The order in which prover and verifier speak, written once for both. For the argument's own modules.

Each method absorbs one message of the prover and returns the challenges that answer it. The order is what makes the
argument sound: rho before A, or x before T1 and T2, would let a prover choose its message to fit the challenge.

An argument in several chunks has a name of its own, so that none of its challenges is one of an argument in one piece,
and absorbs their number and length before anything else.
"""

from collections.abc import Iterable
from typing import NamedTuple

from atomic_margin.zk.bits.statement import BitStatement
from atomic_margin.zk.generators import generators_hash
from atomic_margin.zk.groups import POINT_BYTES, SCALAR_BYTES
from atomic_margin.zk.transcript import Transcript


class VectorChallenges(NamedTuple):
    """``rho`` batches the relations, ``y`` the bit constraints, ``z`` the three kinds of constraint."""

    rho: int
    y: int
    z: int


class ChallengeSequence:
    """The transcript of one bit argument. Call the methods from top to bottom."""

    def __init__(self, statement: BitStatement) -> None:
        parameters = statement.parameters
        sizes: tuple[int, ...] = (
            parameters.bits,
            parameters.padded,
            parameters.rounds,
            len(statement.relations),
            len(statement.commitments),
            POINT_BYTES,
            SCALAR_BYTES,
        )
        protocol = "committed bits"
        if parameters.chunks > 1:
            protocol = "committed bits in chunks"
            sizes = (*sizes, parameters.chunks, parameters.length)
        self._transcript = Transcript(
            f"{protocol}/{statement.name}",
            [
                *((f"binding/{label}", data) for label, data in statement.binding),
                ("generators", bytes.fromhex(generators_hash())),
                ("sizes", b"".join(size.to_bytes(8, "big") for size in sizes)),
                *((f"commitment/{index}", data) for index, data in enumerate(statement.commitments)),
            ],
        )

    def after_vectors(self, A: bytes, S: bytes) -> VectorChallenges:
        """Absorb the vector commitments."""
        self._transcript.absorb("A", A)
        self._transcript.absorb("S", S)
        return VectorChallenges(*(self._transcript.challenge(label) for label in VectorChallenges._fields))

    def after_crosses(self, crosses: Iterable[bytes]) -> int:
        """Absorb the commitments to what chunks have in common with others; return the challenge that joins them all.

        For several chunks only.
        """
        for K in crosses:
            self._transcript.absorb("K", K)
        return self._transcript.challenge("join")

    def after_quadratic(self, T1: bytes, T2: bytes) -> int:
        """Absorb the commitments to the coefficients of t(X); return x, the point it is evaluated at."""
        self._transcript.absorb("T1", T1)
        self._transcript.absorb("T2", T2)
        return self._transcript.challenge("x")

    def after_evaluation(self, t_hat: bytes, tau_x: bytes, mu: bytes) -> int:
        """Absorb t(x) and the blindings; return w, which ties t(x) to the inner product."""
        self._transcript.absorb("t_hat", t_hat)
        self._transcript.absorb("tau_x", tau_x)
        self._transcript.absorb("mu", mu)
        return self._transcript.challenge("w")

    def after_round(self, L: bytes, R: bytes) -> int:
        """Absorb the cross terms of one folding round; return its challenge e."""
        self._transcript.absorb("L", L)
        self._transcript.absorb("R", R)
        return self._transcript.challenge("e")

    def after_tail(self, tail: bytes) -> int:
        """Absorb the folded vectors; return the weight between the two final equations."""
        self._transcript.absorb("tail", tail)
        return self._transcript.challenge("weight")

    def fingerprint(self) -> bytes:
        """Return 32 bytes that depend on every byte of statement and proof: what a batch draws its weights from."""
        return self._transcript.challenge("fingerprint").to_bytes(SCALAR_BYTES, "big")
