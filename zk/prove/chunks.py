"""What the prover of a bit argument does with its chunks. Prover only; see `atomic_margin.zk.bits.chunks`.

>>> from atomic_margin.zk.bits.parameters import BitParameters
>>> from atomic_margin.zk.groups import load_group
>>> group, parameters = load_group("auto"), BitParameters(4, 0, chunks=2)
>>> terms = cross_terms(group, group.scalars([1, 2, 3, 4]), group.scalars([5, 6, 7, 8]), parameters)
>>> list(map(group.integer, terms))  # <(3, 4), (5, 6)> and <(1, 2), (7, 8)>
[39, 23]
"""

import itertools
import operator
from collections.abc import Sequence

from atomic_margin.zk.bits.chunks import cut
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.generators import Generators
from atomic_margin.zk.groups import Group, Scalar
from atomic_margin.zk.vectors import inner


def commit_bits(group: Group, generators: Generators, bits: Sequence[int], alphas: Sequence[Scalar]) -> bytes:
    """Return the encoded commitments to bits and to bits minus one: in one point, or in two for each of several chunks.

    Args:
        group: backend.
        generators: as many of each vector as a chunk has bits.
        bits: all of them, with padding.
        alphas: a blinding for each point.
    """
    points = []
    for chunk in cut(bits, len(bits) // len(generators.left)):
        if set(chunk) <= {0, 1}:
            # Sums instead of multiplications: of each pair of generators one is added, whatever the bit is.
            left = group.add_up(itertools.compress(generators.left, chunk))
            right = group.add_up(itertools.compress(generators.right, map(operator.not_, chunk)))
        else:
            # A false witness: the proof is made all the same, and will not verify.
            left = group.msm(generators.left, group.scalars(chunk))
            right = group.msm(generators.right, group.scalars(1 - bit for bit in chunk))
        points += [left, -right]
    if len(alphas) == 1:
        points = [points[0] + points[1]]
    blindings = (group.multiply(generators.blinding, alpha) for alpha in alphas)
    return b"".join(group.encode_point(point + blinding) for point, blinding in zip(points, blindings, strict=True))


def cross_terms(
    group: Group, left: Sequence[Scalar], right: Sequence[Scalar], parameters: BitParameters
) -> list[Scalar]:
    """Return the coefficients of <l(X), r(X)> at `BitParameters.cross_exponents`: sums over pairs of unlike chunks."""
    lefts, rights = cut(left, parameters.chunks), cut(right, parameters.chunks)
    zero = group.scalar(0)
    return [
        sum(
            (
                inner(group, lefts[chunk], rights[chunk - exponent])
                for chunk in range(max(exponent, 0), parameters.chunks + min(exponent, 0))
            ),
            zero,
        )
        for exponent in parameters.cross_exponents
    ]
