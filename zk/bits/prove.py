"""Prover of the bit argument. Prover only: the operator never imports it.

Source: Bünz et al., *Bulletproofs* (2018), sections 4.1 and 4.2; see `atomic_margin.zk.bits.verify` for the equations.
The generators are never folded: cross terms are multiplied over the original ones, which is faster than folding points
as long as there are only five or six rounds. Running time depends on secret values: do not prove where others can time
it.
"""

import itertools
from collections.abc import Sequence

from atomic_margin.zk.bits.challenges import ChallengeSequence
from atomic_margin.zk.bits.chunks import JoinWeights, joined
from atomic_margin.zk.bits.proof import BitProof
from atomic_margin.zk.bits.statement import BitStatement
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.generators import Generators, load_generators
from atomic_margin.zk.groups import Group, Point, Scalar
from atomic_margin.zk.prove.chunks import commit_bits, cross_terms
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.vectors import inner, plus, powers, scale, times


def prove_bits(statement: BitStatement, witness: BitWitness, group: Group) -> bytes:
    """Return a proof of ``statement``.

    Raises:
        WitnessError: the witness does not satisfy it.
    """
    witness.check(statement, group)
    return argue(statement, witness, group)


def argue(statement: BitStatement, witness: BitWitness, group: Group) -> bytes:
    """Run the argument without looking at the witness: for a false one it returns a proof that does not verify."""
    parameters = statement.parameters
    padded, length = parameters.padded, parameters.length
    generators = load_generators(group, length)
    sequence = ChallengeSequence(statement)
    binding = (data for _, data in statement.binding)
    nonces = NonceStream(witness.digest(), statement.name.encode(), *binding, *statement.commitments)
    one = group.scalar(1)

    # Padding bits are zero and take part in no relation.
    bits = [*witness.bits, *itertools.repeat(0, padded - len(witness.bits))]
    a_left = group.scalars(bits)
    # a_right = a_left - 1 is minus 0 or 1.
    complement = [one - bit for bit in a_left]
    s_left, s_right = group.scalars(nonces.integers(length)), group.scalars(nonces.integers(length))
    alpha, sigma, tau_1, tau_2 = group.scalars(nonces.integers(4))
    alphas = [alpha, *group.scalars(nonces.integers(parameters.vector_points - 1))]
    A_bytes = commit_bits(group, generators, bits, alphas)
    S_left, S_right = group.msm_pair(
        (generators.left, s_left), ([*generators.right, generators.blinding], [*s_right, sigma])
    )
    S_bytes = group.encode_point(S_left + S_right)
    rho, y_integer, z_integer = sequence.after_vectors(A_bytes, S_bytes)

    # l(X) = l_0 + l_1 X and r(X) = r_0 + r_1 X; the constant term of <l, r> carries the claim.
    y, z = group.scalar(y_integer), group.scalar(z_integer)
    batched = statement.batch(rho)
    y_powers = powers(group, y, padded)
    l_0 = [bit - z for bit in a_left]
    r_0 = plus(times(y_powers, [z - item for item in complement]), scale(group.scalars(batched.bits), z * z))
    bases = [generators.value, generators.blinding]
    crosses: list[bytes] = []
    kappas: list[Scalar] = []
    join = JoinWeights.of_one(group)
    if parameters.chunks > 1:
        kappas = group.scalars(nonces.integers(len(parameters.cross_exponents)))
        terms = cross_terms(group, l_0, r_0, parameters)
        crosses = [group.encode_point(group.msm(bases, opening)) for opening in zip(terms, kappas, strict=True)]
        join = JoinWeights.of(group, group.scalar(sequence.after_crosses(crosses)), parameters.chunks)
        l_0, r_0 = joined(l_0, join.left), joined(r_0, join.right)
    r_1 = times(y_powers[:length], s_right)
    t_1 = inner(group, l_0, r_1) + inner(group, s_left, r_0)
    t_2 = inner(group, s_left, r_1)
    T1_bytes = group.encode_point(group.msm(bases, [t_1, tau_1]))
    T2_bytes = group.encode_point(group.msm(bases, [t_2, tau_2]))
    x = group.scalar(sequence.after_quadratic(T1_bytes, T2_bytes))

    left = plus(l_0, scale(s_left, x))
    right = plus(r_0, scale(r_1, x))
    t_hat = group.encode_scalar(inner(group, left, right))
    blinding = inner(group, group.scalars(batched.values), group.scalars(witness.blindings))
    tau_x = group.encode_scalar(tau_1 * x + tau_2 * x * x + z * z * blinding + inner(group, kappas, join.crosses))
    mu = group.encode_scalar(inner(group, alphas, join.on_vectors(y_powers[::length])) + sigma * x)
    w = group.scalar(sequence.after_evaluation(t_hat, tau_x, mu))

    y_inverses = powers(group, group.invert(y), length)
    folding = _Folding(group, generators, group.multiply(generators.value, w), y_inverses)
    folds = []
    for _ in range(statement.parameters.rounds):
        L, R = folding.cross_terms(left, right)
        folds.append((L, R))
        left, right = folding.fold(left, right, group.scalar(sequence.after_round(L, R)))
    return BitProof(
        A_bytes,
        S_bytes,
        T1_bytes,
        T2_bytes,
        t_hat,
        tau_x,
        mu,
        tuple(folds),
        tuple(group.encode_scalar(item) for item in left),
        tuple(group.encode_scalar(item) for item in right),
        tuple(crosses),
    ).to_bytes()


class _Folding:
    """The folded generators, kept as multiples of the original ones.

    After k rounds, folded generator i is the sum over the 2^k blocks of ``weight[position] * original[position]``,
    where position runs over the elements i of the blocks.
    """

    def __init__(self, group: Group, generators: Generators, inner_base: Point, y_inverses: list[Scalar]) -> None:
        self._group = group
        self._generators = generators
        self._inner_base = inner_base
        self._left_weights = [group.scalar(1)] * len(y_inverses)
        # The right vector is committed to under H_i / y^i.
        self._right_weights = y_inverses

    def cross_terms(self, left: list[Scalar], right: list[Scalar]) -> tuple[bytes, bytes]:
        """Return L, in which the lower half of ``left`` meets the upper generators, and R, the other way round."""
        half = len(left) // 2
        L, R = self._group.msm_pair(
            self._cross(left[:half], right[half:], upper_left=True),
            self._cross(left[half:], right[:half], upper_left=False),
        )
        return self._group.encode_point(L), self._group.encode_point(R)

    def fold(self, left: list[Scalar], right: list[Scalar], e: Scalar) -> tuple[list[Scalar], list[Scalar]]:
        """Halve both vectors: left_lo + e left_hi and right_lo + right_hi / e; the generators the opposite way."""
        half = len(left) // 2
        inverse = self._group.invert(e)
        for start in range(half, len(self._left_weights), 2 * half):
            span = slice(start, start + half)
            self._left_weights[span] = scale(self._left_weights[span], inverse)
            self._right_weights[span] = scale(self._right_weights[span], e)
        return plus(left[:half], scale(left[half:], e)), plus(right[:half], scale(right[half:], inverse))

    def _cross(self, left: list[Scalar], right: list[Scalar], *, upper_left: bool) -> tuple[list[Point], list[Scalar]]:
        group, half = self._group, len(left)
        points: list[Point] = [self._inner_base]
        scalars = [inner(group, left, right)]
        sides: list[tuple[Sequence[Point], list[Scalar], list[Scalar], bool]] = [
            (self._generators.left, self._left_weights, left, upper_left),
            (self._generators.right, self._right_weights, right, not upper_left),
        ]
        for generators, weights, vector, upper in sides:
            for start in range(half if upper else 0, len(weights), 2 * half):
                points += generators[start : start + half]
                scalars += times(vector, weights[start : start + half])
        return points, scalars
