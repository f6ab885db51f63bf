"""The encryption statement: each ciphertext encrypts the committed entry under the committed key. Anyone may call it.

It is made once per submission, next to the portfolio proof on the same commitments. The verifier expands the masks
itself from the nonce it gave out; masks the prover could choose would let it encrypt under a key of its own design.

>>> import numpy
>>> from atomic_margin.zk.statements.key import KeyCommitments
>>> statement = EncryptionStatement(
...     commitments=(bytes(48),), key=KeyCommitments(4, (bytes(48),)), masks=numpy.zeros((1, 4), dtype=numpy.uint64),
...     bodies=numpy.zeros(1, dtype=numpy.uint64), widths=(5,), scale_bits=43, context={"run": "1"},
... )
>>> statement.bit_statement().parameters.bits
31
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.statement import BitStatement, DenseForms, LinearForm, Relation
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements import checks, lwe
from atomic_margin.zk.statements.key import KeyCommitments

NAME = "encryption"
NOISE_BITS = 18
"""Fresh errors of the standard profile (dimension 2048) have a standard deviation of 2^14.05: 15 of them fit."""


@dataclass(frozen=True, eq=False)
class EncryptionStatement:
    """Ciphertext i decrypts to entry i, in [0, 2^widths[i]), with an error in [-2^noise_bits, 2^noise_bits).

    Attributes:
        commitments: compressed Pedersen commitments to the N entries, those of the portfolio statement, in its order.
        key: commitments to the secret key of dimension n.
        masks: uint64, shape (N, n).
        bodies: uint64, shape (N,).
        widths: bits of each entry, 1 to 32, those of the portfolio statement.
        scale_bits: logarithm of the factor Δ between message and word: 63 minus the circuit's bit width.
        context: everything else the proof belongs to, as labelled strings.
        noise_bits: logarithm of the error's bound.

    Raises:
        StatementError: sizes, types or magnitudes outside these bounds, or a scale that leaves no room for the error.
    """

    commitments: tuple[bytes, ...]
    key: KeyCommitments
    masks: npt.NDArray[np.uint64]
    bodies: npt.NDArray[np.uint64]
    widths: tuple[int, ...]
    scale_bits: int
    context: Mapping[str, str]
    noise_bits: int = NOISE_BITS

    def __post_init__(self) -> None:
        object.__setattr__(self, "commitments", checks.commitments(self.commitments))
        masks, bodies = lwe.words(self.masks, self.bodies, self.key.dimension)
        object.__setattr__(self, "masks", masks)
        object.__setattr__(self, "bodies", bodies)
        count = len(self.commitments)
        if (len(masks), len(self.widths)) != (count, count):
            raise StatementError(f"{count} commitments, but {len(masks)} ciphertexts and {len(self.widths)} widths")
        object.__setattr__(self, "widths", checks.integers("widths", self.widths, 1, checks.MAX_WIDTH))
        lwe.margin(max(self.widths), self.scale_bits, self.noise_bits)
        checks.total_bits(self.total_bits)
        object.__setattr__(self, "context", checks.context(self.context))

    @property
    def total_bits(self) -> int:
        """Bits of the key, and of every entry, error and carry."""
        each = self.noise_bits + 1 + lwe.carry_bits(self.key.dimension)
        return self.key.dimension + sum(self.widths) + len(self.widths) * each

    def bit_statement(self) -> BitStatement:
        """Return the statement as relations: decryption equations, then openings of the entries, then of the key."""
        dimension = self.key.dimension
        start = dimension
        equations, openings = [], []
        for index, (width, body) in enumerate(zip(self.widths, self.bodies.tolist(), strict=True)):
            entry = LinearForm.binary(start, width)
            scaled = LinearForm(entry.indices, tuple(c << self.scale_bits for c in entry.coefficients))
            equations.append(lwe.decryption_relation(scaled, body, start + width, self.noise_bits, dimension))
            openings.append(Relation(entry, LinearForm((index,), (1,)), 0))
            start += width + self.noise_bits + 1 + lwe.carry_bits(dimension)
        return BitStatement(
            name=NAME,
            binding=(("public", self._public()), *lwe.words_binding(self.masks, self.bodies)),
            commitments=(*self.commitments, *self.key.commitments),
            relations=(*equations, *openings, *lwe.key_relations(self.key, len(self.commitments))),
            parameters=BitParameters.for_bits(start),
            dense=(DenseForms(0, self.masks, lwe.single_bits(dimension)),),
        )

    def _public(self) -> bytes:
        return canonical_bytes(
            {
                "context": self.context,
                "dimension": str(self.key.dimension),
                "entries": str(len(self.commitments)),
                "key": self.key.hash,
                "noise_bits": str(self.noise_bits),
                "scale_bits": str(self.scale_bits),
                "statement": NAME,
                "version": checks.PROTOCOL_VERSION,
                "widths": checks.decimal(self.widths),
            }
        )
