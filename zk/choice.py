"""One of many: a commitment W opens to the same value as one of R others C_r. Anyone may call it.

For the right r, W - C_r is a multiple of H alone, and the prover knows the factor. It proves so for all r at once, but
may choose all challenges e_r except one: only their sum is given. With announcements T_r and responses z_r the verifier
checks z_r H = T_r + e_r (W - C_r) for every r. Nobody can tell which challenge was not chosen.

Source: Cramer, Damgård and Schoenmakers, *Proofs of partial knowledge* (1994), over Schnorr's protocol. Announcements
are sent, instead of being recomputed, so that all R equations become one multi-scalar multiplication.

The prover's side is in `atomic_margin.zk.prove.breach`.

>>> ChoiceProof.from_bytes(b"", rows=3)
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a choice among 3 rows is 352 bytes, got 0
"""

from collections.abc import Iterable
from dataclasses import dataclass

from atomic_margin.zk.errors import ProofEncodingError
from atomic_margin.zk.generators import generators_hash
from atomic_margin.zk.groups import ORDER, POINT_BYTES, SCALAR_BYTES
from atomic_margin.zk.transcript import Transcript


def choice_bytes(rows: int) -> int:
    """Return the size of a proof: W, then for each row an announcement, a challenge (but for the last), a response."""
    return POINT_BYTES + rows * (POINT_BYTES + 2 * SCALAR_BYTES) - SCALAR_BYTES


@dataclass(frozen=True)
class ChoiceProof:
    """W, the announcements, the challenges of all rows but the last, and the responses, all encoded."""

    W: bytes
    announcements: tuple[bytes, ...]
    shares: tuple[bytes, ...]
    responses: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """Return all components, in the order of the fields."""
        return b"".join((self.W, *self.announcements, *self.shares, *self.responses))

    @classmethod
    def from_bytes(cls, data: bytes, rows: int) -> "ChoiceProof":
        """Cut ``data`` into components.

        Raises:
            ProofEncodingError: the length is not that of a choice among ``rows`` rows.
        """
        if len(data) != choice_bytes(rows):
            raise ProofEncodingError(f"a choice among {rows} rows is {choice_bytes(rows)} bytes, got {len(data)}")
        points, scalars = data[: POINT_BYTES * (rows + 1)], data[POINT_BYTES * (rows + 1) :]
        W, *announcements = _cut(points, POINT_BYTES)
        shares_and_responses = _cut(scalars, SCALAR_BYTES)
        return cls(
            W, tuple(announcements), tuple(shares_and_responses[: rows - 1]), tuple(shares_and_responses[rows - 1 :])
        )


def choice_challenge(binding: Iterable[tuple[str, bytes]], W: bytes, announcements: Iterable[bytes]) -> int:
    """Return the challenge that all shares add up to: it answers W and every announcement.

    Raises:
        TranscriptError: the challenge is zero.
    """
    transcript = Transcript("one of many", [*binding, ("generators", bytes.fromhex(generators_hash()))])
    transcript.absorb("W", W)
    for announcement in announcements:
        transcript.absorb("T", announcement)
    return transcript.challenge("e")


def last_share(challenge: int, shares: Iterable[int]) -> int:
    """Return the share that makes the sum right.

    >>> last_share(5, (1, 2)), last_share(1, (2,)) == ORDER - 1
    (2, True)
    """
    return (challenge - sum(shares)) % ORDER


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]
