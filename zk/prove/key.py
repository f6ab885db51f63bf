"""Commit to an LWE secret key, packed. Prover only.

>>> key, opening = commit_key((1, 0, 1, 1), secret=bytes(32), context={"institution": "fund"})
>>> key.dimension, len(key.commitments), opening
(4, 1, KeyOpening())
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atomic_margin.zk.bits.combine import combine
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.statements.key import CHUNK_BITS, MAX_DIMENSION, KeyCommitments


@dataclass(frozen=True)
class KeyOpening:
    """The bits of the key and the blindings of its commitments. Nothing of it appears in its ``repr``."""

    bits: tuple[int, ...] = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)

    @property
    def packed(self) -> tuple[int, ...]:
        """The committed integers: 248 bits each, lowest bit first."""
        chunks = (self.bits[start : start + CHUNK_BITS] for start in range(0, len(self.bits), CHUNK_BITS))
        return tuple(sum(bit << exponent for exponent, bit in enumerate(chunk)) for chunk in chunks)

    def inner_products(self, masks: npt.NDArray[np.uint64]) -> list[int]:
        """Return <a, s> of every mask, over the integers.

        Raises:
            WitnessError: the masks have another dimension.
        """
        if masks.shape[1] != len(self.bits):
            raise WitnessError(f"the ciphertexts have dimension {masks.shape[1]}, this key has {len(self.bits)} bits")
        return combine(self.bits, masks.T)


def commit_key(
    bits: Sequence[int], secret: bytes, context: Mapping[str, str], group: Group | None = None
) -> tuple[KeyCommitments, KeyOpening]:
    """Commit to a binary key in chunks of 248 bits; return the commitments and what opens them.

    Keep the opening with the key: every encryption and decryption proof needs it. No proof is made here, because each
    of those shows anew that the commitments hold bits the prover knows.

    Args:
        bits: the key, n zeros and ones.
        secret: at least 32 bytes only the prover knows, which protect the blindings if the random generator is weak.
        context: what is being committed to, as labelled strings.
        group: backend, by default the fastest installed.

    Raises:
        WitnessError: something else than zeros and ones, or the secret is too short.
        StatementError: the context is empty or not made of strings.
    """
    if not 1 <= len(bits) <= MAX_DIMENSION:
        raise WitnessError(f"a key has 1 to {MAX_DIMENSION} bits, got {len(bits)}")
    whole = tuple(int(bit) for bit in bits)
    if set(whole) - {0, 1}:
        raise WitnessError("a binary key has no other elements than 0 and 1: this one was read from the wrong place")
    packed = KeyOpening(whole, ()).packed
    commitments, blindings = commit_values(packed, secret, context, group)
    return KeyCommitments(len(whole), commitments), KeyOpening(whole, blindings)
