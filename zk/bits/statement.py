"""What a bit argument states. Anyone may call it; the statements of `atomic_margin.zk.statements` are built on it.

There are bits b_0 … b_(n-1) and values v_0 … v_(N-1) inside the Pedersen commitments V_j, and every relation holds:

    sum over i of bits_i * b_i  =  constant + sum over j of values_j * v_j      (mod r)

The caller keeps all integer terms so small that nothing wraps modulo r. A value in [0, 2^4) in the first commitment:

>>> Relation(bits=LinearForm.binary(start=0, width=4), values=LinearForm((0,), (1,)), constant=0).bits.coefficients
(1, 2, 4, 8)
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from atomic_margin.zk.bits.combine import combine
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.groups import ORDER


@dataclass(frozen=True)
class LinearForm:
    """Integer coefficients at some indices, zero elsewhere. An index may occur more than once."""

    indices: Sequence[int]
    coefficients: Sequence[int]

    def __post_init__(self) -> None:
        if len(self.indices) != len(self.coefficients):
            raise StatementError(f"{len(self.indices)} indices but {len(self.coefficients)} coefficients")

    @classmethod
    def binary(cls, start: int, width: int) -> "LinearForm":
        """Return the integer written in ``width`` bits from index ``start`` on, lowest bit first."""
        return cls(range(start, start + width), tuple(1 << exponent for exponent in range(width)))

    def fits(self, length: int) -> bool:
        """Say whether every index lies in [0, ``length``)."""
        return not self.indices or (min(self.indices) >= 0 and max(self.indices) < length)

    def evaluate(self, vector: Sequence[int]) -> int:
        """Return the form at ``vector``, over the integers."""
        return sum(
            coefficient * vector[index] for index, coefficient in zip(self.indices, self.coefficients, strict=True)
        )

    def add_to(self, target: list[int], factor: int) -> None:
        """Add ``factor`` times the form to ``target``, over the integers."""
        for index, coefficient in zip(self.indices, self.coefficients, strict=True):
            target[index] += factor * coefficient


@dataclass(frozen=True)
class Relation:
    """``bits`` over the bits equals ``constant`` plus ``values`` over the committed values."""

    bits: LinearForm
    values: LinearForm
    constant: int


@dataclass(frozen=True, eq=False)
class DenseForms:
    """Coefficients on the bits, in bulk: row k of ``matrix`` belongs to relation ``first`` + k, on top of its own form.

    Column j is the coefficient of the integer that ``words[j]`` = (start, width) writes in ``width`` bits from bit
    ``start`` on, lowest bit first. A column for a single bit has width 1.

    Attributes:
        first: index of the relation the first row belongs to.
        matrix: int64 or uint64, shape (relations, words).
        words: one (start, width) per column.
    """

    first: int
    matrix: npt.NDArray[Any]
    words: Sequence[tuple[int, int]]

    def fits(self, relations: int, bits: int) -> bool:
        """Say whether rows and columns all refer to one of ``relations`` and to ``bits``."""
        rows, columns = self.matrix.shape
        return (
            columns == len(self.words)
            and 0 <= self.first <= relations - rows
            and all(start >= 0 and start + width <= bits for start, width in self.words)
        )

    def evaluate(self, bits: Sequence[int]) -> list[int]:
        """Return every row at ``bits``, over the integers."""
        values = [sum(bits[start + t] << t for t in range(width)) for start, width in self.words]
        return combine(values, self.matrix.T)

    def add_to(self, target: list[int], weights: Sequence[int]) -> None:
        """Add the rows, weighted with the weights of their relations, to ``target``, over the integers."""
        weights = weights[self.first : self.first + self.matrix.shape[0]]
        for (start, width), coefficient in zip(self.words, combine(weights, self.matrix), strict=True):
            for exponent in range(width):
                target[start + exponent] += coefficient << exponent


@dataclass(frozen=True)
class BatchedRelation:
    """All relations folded into one by the powers of a challenge, modulo r; ``bits`` has the padded length."""

    bits: list[int]
    values: list[int]
    constant: int


@dataclass(frozen=True)
class BitStatement:
    """Relations between bits and committed values, and every byte the proof is bound to.

    ``binding`` must determine the relations: labelled public inputs which the transcript absorbs before anything else.
    ``commitments`` are compressed points.

    ``dense`` adds coefficients to the bits' side of some relations.

    Raises:
        StatementError: no relations, or one that refers to a bit or commitment that is not there.
    """

    name: str
    binding: tuple[tuple[str, bytes], ...]
    commitments: tuple[bytes, ...]
    relations: tuple[Relation, ...]
    parameters: BitParameters
    dense: tuple[DenseForms, ...] = ()

    def __post_init__(self) -> None:
        if not self.relations:
            raise StatementError("a statement without relations says nothing: add at least one")
        for index, relation in enumerate(self.relations):
            if not (relation.bits.fits(self.parameters.bits) and relation.values.fits(len(self.commitments))):
                raise StatementError(f"relation {index} refers to a bit or commitment beyond the statement's")
        if not all(forms.fits(len(self.relations), self.parameters.bits) for forms in self.dense):
            raise StatementError("dense forms refer to a relation or bit beyond the statement's")

    def differences(self, bits: Sequence[int], values: Sequence[int]) -> list[int]:
        """Return, for each relation, its left side minus its right side, over the integers."""
        result = [
            relation.bits.evaluate(bits) - relation.constant - relation.values.evaluate(values)
            for relation in self.relations
        ]
        for forms in self.dense:
            for row, value in enumerate(forms.evaluate(bits), forms.first):
                result[row] += value
        return result

    def batch(self, rho: int) -> BatchedRelation:
        """Fold all relations into one; relation k weighs ``rho``^k, so no two share a weight."""
        bits = [0] * self.parameters.padded
        values = [0] * len(self.commitments)
        constant = 0
        weights = list(itertools.accumulate(self.relations[1:], lambda weight, _: weight * rho % ORDER, initial=1))
        for relation, weight in zip(self.relations, weights, strict=True):
            relation.bits.add_to(bits, weight)
            relation.values.add_to(values, weight)
            constant += weight * relation.constant
        for forms in self.dense:
            forms.add_to(bits, weights)
        return BatchedRelation([x % ORDER for x in bits], [x % ORDER for x in values], constant % ORDER)
