"""How the chunks of a long argument are joined into one, as prover and verifier both do it. For the argument's modules.

The bits of chunk c are committed to in A_c, under the left generators, and in B_c, under the right ones: the same
generators for every chunk. What is claimed is the sum of the inner products <l_c, r_c>. It is the coefficient of X^0 in
<l(X), r(X)> for

    l(X) = sum over c of X^(c+1) l_c        r(X) = sum over c of X^-(c+1) r_c

The prover commits to all its other coefficients, and a challenge takes the place of X. From there on there is one pair
of vectors of a chunk's length, whose commitment is the same combination of the A_c and B_c, and one argument about it.
No two of these have a common power of X, so that each is held to its own generators: docs/proofs.md says why.

>>> from atomic_margin.zk.groups import load_group
>>> group = load_group("auto")
>>> weights = JoinWeights.of(group, group.scalar(3), chunks=2)
>>> [group.integer(x) for x in joined(group.scalars([1, 2, 10, 20]), weights.left)]
[93, 186]
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from atomic_margin.zk.groups import Group, Scalar
from atomic_margin.zk.vectors import plus, powers, scale, times

T = TypeVar("T")


class JoinWeights(NamedTuple):
    """What every chunk counts in the joined vectors, and every committed coefficient in their inner product."""

    left: list[Scalar]
    right: list[Scalar]
    crosses: list[Scalar]

    @classmethod
    def of(cls, group: Group, challenge: Scalar, chunks: int) -> "JoinWeights":
        """Return e, e^2, … and e^-1, e^-2, … for the challenge e, and the powers of `BitParameters.cross_exponents`."""
        left = powers(group, challenge, chunks + 1)[1:]
        right = powers(group, group.invert(challenge), chunks + 1)[1:]
        return cls(left, right, [*left[:-1], *right[:-1]])

    @classmethod
    def of_one(cls, group: Group) -> "JoinWeights":
        """Return the weights of a single chunk, which is left as it is."""
        return cls([group.scalar(1)], [group.scalar(1)], [])

    def on_right(self, y_starts: Sequence[Scalar]) -> list[Scalar]:
        """Return what the right vector of every chunk counts, without y^i; ``y_starts`` are the first powers of each.

        The generator of bit i of chunk c is H_i / y^i in every chunk, and its coefficient has y^(c length + i).
        """
        return times(self.right, y_starts)

    def on_vectors(self, y_starts: Sequence[Scalar]) -> list[Scalar]:
        """Return what every commitment to bits counts, in the order they are sent."""
        if not self.crosses:
            return self.left
        pairs = zip(self.left, self.on_right(y_starts), strict=True)
        return [weight for pair in pairs for weight in pair]


def cut(vector: Sequence[T], chunks: int) -> list[Sequence[T]]:
    """Return the equal parts of ``vector``, whose length is a multiple of ``chunks``."""
    length = len(vector) // chunks
    return [vector[start : start + length] for start in range(0, len(vector), length)]


def joined(vector: list[Scalar], weights: Sequence[Scalar]) -> list[Scalar]:
    """Return the sum of the equal parts of ``vector``, one for each of ``weights``, times these."""
    if len(weights) == 1:
        return vector
    first, *others = (scale(part, weight) for part, weight in zip(cut(vector, len(weights)), weights, strict=True))
    for other in others:
        first = plus(first, other)
    return first
