"""The decryption statement: each ciphertext decrypts to a public value under the committed key. Anyone may call it.

A breach flag is one ciphertext with one bit. A value of several bits comes in one ciphertext, or as one ciphertext per
bit (see `joined`); either way one proof covers all of them.

The proof says what the ciphertexts decrypt to, not that they are the result of an honest evaluation: with malformed
evaluation keys a flag can be made 0 while its decryption proof verifies.

>>> import numpy
>>> from atomic_margin.zk.statements.key import KeyCommitments
>>> statement = DecryptionStatement(
...     key=KeyCommitments(4, (bytes(48),)), masks=numpy.zeros((1, 4), dtype=numpy.uint64),
...     bodies=numpy.zeros(1, dtype=numpy.uint64), values=(1,), context={"run": "1"},
... )
>>> statement.bit_statement().parameters.bits
68
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.statement import BitStatement, DenseForms, LinearForm
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements import checks, lwe
from atomic_margin.zk.statements.key import KeyCommitments

NAME = "decryption"
FLAG_SCALE_BITS, FLAG_NOISE_BITS = 62, 60
"""A one-bit output has the padding bit above it and 62 bits below; its error stays below a quarter of that step."""


@dataclass(frozen=True, eq=False)
class DecryptionStatement:
    """Ciphertext i decrypts to values[i], with an error in [-2^noise_bits, 2^noise_bits).

    Attributes:
        key: commitments to the secret key of dimension n the ciphertexts are under.
        masks: uint64, shape (N, n).
        bodies: uint64, shape (N,).
        values: the N public values, in [0, 2^value_bits).
        context: everything else the proof belongs to, as labelled strings.
        value_bits: bits of each value.
        scale_bits: logarithm of the factor Δ between value and word: 63 minus the output's bit width.
        noise_bits: logarithm of the error's bound.

    Raises:
        StatementError: sizes, types or magnitudes outside these bounds, or a scale that leaves no room for the error.
    """

    key: KeyCommitments
    masks: npt.NDArray[np.uint64]
    bodies: npt.NDArray[np.uint64]
    values: tuple[int, ...]
    context: Mapping[str, str]
    value_bits: int = 1
    scale_bits: int = FLAG_SCALE_BITS
    noise_bits: int = FLAG_NOISE_BITS

    def __post_init__(self) -> None:
        masks, bodies = lwe.words(self.masks, self.bodies, self.key.dimension)
        object.__setattr__(self, "masks", masks)
        object.__setattr__(self, "bodies", bodies)
        if len(self.values) != len(masks):
            raise StatementError(f"{len(masks)} ciphertexts, but {len(self.values)} values")
        checks.integer("value_bits", self.value_bits, 1, lwe.WORD_BITS - 1)
        lwe.margin(self.value_bits, self.scale_bits, self.noise_bits)
        object.__setattr__(self, "values", checks.integers("values", self.values, 0, (1 << self.value_bits) - 1))
        checks.total_bits(self.total_bits)
        object.__setattr__(self, "context", checks.context(self.context))

    @property
    def total_bits(self) -> int:
        """Bits of the key, and of every error and carry."""
        each = self.noise_bits + 1 + lwe.carry_bits(self.key.dimension)
        return self.key.dimension + len(self.values) * each

    def bit_statement(self) -> BitStatement:
        """Return the statement as relations: decryption equations, then openings of the key."""
        dimension = self.key.dimension
        start = dimension
        equations = []
        for value, body in zip(self.values, self.bodies.tolist(), strict=True):
            rest = body - (value << self.scale_bits)
            equations.append(lwe.decryption_relation(LinearForm((), ()), rest, start, self.noise_bits, dimension))
            start += self.noise_bits + 1 + lwe.carry_bits(dimension)
        return BitStatement(
            name=NAME,
            binding=(("public", self._public()), *lwe.words_binding(self.masks, self.bodies)),
            commitments=self.key.commitments,
            relations=(*equations, *lwe.key_relations(self.key, 0)),
            parameters=BitParameters.for_bits(start),
            dense=(DenseForms(0, self.masks, lwe.single_bits(dimension)),),
        )

    def _public(self) -> bytes:
        return canonical_bytes(
            {
                "ciphertexts": str(len(self.values)),
                "context": self.context,
                "dimension": str(self.key.dimension),
                "key": self.key.hash,
                "noise_bits": str(self.noise_bits),
                "scale_bits": str(self.scale_bits),
                "statement": NAME,
                "value_bits": str(self.value_bits),
                "values": checks.decimal(self.values),
                "version": checks.PROTOCOL_VERSION,
            }
        )


def joined(values: Sequence[int], value_bits: int = 1) -> int:
    """Return the number whose digits of ``value_bits`` bits are ``values``, lowest first.

    >>> joined((0, 1, 1))
    6
    """
    return sum(value << value_bits * index for index, value in enumerate(values))
