"""Verifier of the bit argument: one multi-scalar multiplication. Anyone may call it.

The verifier's equations are gathered as multiples of the generators and of the proof's own points, whose sum must be
the identity. `gather` returns them before they are multiplied, so that many proofs can share one multiplication (see
`atomic_margin.zk.bits.final`).

Source: Bünz et al., *Bulletproofs* (2018), sections 4.1 and 4.2, with the range replaced by arbitrary linear relations
and an inner-product argument that stops early. Several chunks are joined as `atomic_margin.zk.bits.chunks` says.
Folding uses G' = G_lo + e^-1 G_hi and H' = H_lo + e H_hi, which takes one multiplication per element instead of two.
"""

from atomic_margin.zk.bits.challenges import ChallengeSequence
from atomic_margin.zk.bits.chunks import JoinWeights, joined
from atomic_margin.zk.bits.components import proof_point, proof_scalar
from atomic_margin.zk.bits.final import FinalCheck, verify_checks
from atomic_margin.zk.bits.proof import BitProof
from atomic_margin.zk.bits.statement import BitStatement
from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.groups import POINT_BYTES, Group, Point, Scalar
from atomic_margin.zk.vectors import inner, plus, powers, scale, times


def verify_bits(statement: BitStatement, proof: bytes, group: Group) -> None:
    """Check that ``proof`` proves ``statement``; returning means it does.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        BitProofInvalid: the proof does not prove the statement.
    """
    verify_checks([gather(statement, proof, group)], group)


def gather(statement: BitStatement, data: bytes, group: Group, known: dict[bytes, Point] | None = None) -> FinalCheck:
    """Do everything but the multiplication; ``known`` are commitments decoded before, see `decode_commitments`.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
    """
    parameters = statement.parameters
    # (1) Lengths and version, before any point is touched.
    proof = BitProof.from_bytes(data, parameters)

    # (2) Points and scalars: canonical, in the subgroup, not the identity.
    vectors = [
        proof_point(group, "A" if parameters.chunks == 1 else f"A, {position}", proof.A[start : start + POINT_BYTES])
        for position, start in enumerate(range(0, len(proof.A), POINT_BYTES))
    ]
    S, T1, T2 = (proof_point(group, name, getattr(proof, name)) for name in ("S", "T1", "T2"))
    crosses = [proof_point(group, f"K, {position}", K) for position, K in enumerate(proof.crosses)]
    t_hat, tau_x, mu = (proof_scalar(group, name, getattr(proof, name)) for name in ("t_hat", "tau_x", "mu"))
    folds = [
        (proof_point(group, f"L of round {k}", L), proof_point(group, f"R of round {k}", R))
        for k, (L, R) in enumerate(proof.folds)
    ]
    left = [proof_scalar(group, f"left {k}", item) for k, item in enumerate(proof.left)]
    right = [proof_scalar(group, f"right {k}", item) for k, item in enumerate(proof.right)]
    commitments = decode_commitments(group, statement.commitments, known)

    # (3) All challenges, in the order the prover met them.
    sequence = ChallengeSequence(statement)
    vector_challenges = sequence.after_vectors(proof.A, proof.S)
    join = JoinWeights.of_one(group)
    if parameters.chunks > 1:
        join = JoinWeights.of(group, group.scalar(sequence.after_crosses(proof.crosses)), parameters.chunks)
    x = group.scalar(sequence.after_quadratic(proof.T1, proof.T2))
    w = group.scalar(sequence.after_evaluation(proof.t_hat, proof.tau_x, proof.mu))
    e = [group.scalar(sequence.after_round(L, R)) for L, R in proof.folds]
    weight = group.scalar(sequence.after_tail(proof.tail))
    fingerprint = sequence.fingerprint()

    # (4) The public side of the claim, computed from the statement alone.
    y, z = group.scalar(vector_challenges.y), group.scalar(vector_challenges.z)
    batched = statement.batch(vector_challenges.rho)
    u = group.scalars(batched.bits)
    y_powers = powers(group, y, parameters.padded)
    y_inverses = powers(group, group.invert(y), parameters.length)
    z2, zero = z * z, group.scalar(0)
    delta = (z - z2) * sum(y_powers, zero) - z2 * z * sum(u, zero)
    y_starts = y_powers[:: parameters.length]

    # (5) First equation, times the weight: t(x) is the evaluation of the committed polynomial.
    #     t_hat G + tau_x H = (delta + z^2 d) G + z^2 sum c_j V_j + sum e^k K_k + x T1 + x^2 T2
    value = weight * (t_hat - delta - z2 * group.scalar(batched.constant))
    scalars = scale(group.scalars(batched.values), -(weight * z2))
    scalars += [-(weight * item) for item in (*join.crosses, x, x * x)]
    points = [*commitments, *crosses, T1, T2]

    # (6) Second equation: the folded vectors open A + x S - z sum G_i + sum (z + z^2 u_i / y^i) H_i - mu H, and their
    #     inner product is t_hat. For several chunks A, z and u are what the chunks have, joined.
    scalars += [*join.on_vectors(y_starts), x]
    points += [*vectors, S]
    value = value + w * (t_hat - inner(group, left, right))
    inverses = [group.invert(item) for item in e]
    for (L, R), item, inverse in zip(folds, e, inverses, strict=True):
        points += [L, R]
        scalars += [inverse, item]
    left_weights = _block_weights(group, inverses)
    right_weights = _block_weights(group, e)
    opened_left = [factor * item for factor in left_weights for item in left]
    opened_right = [factor * item for factor in right_weights for item in right]
    left_z, right_z = z * sum(join.left, zero), z * sum(join.on_right(y_starts), zero)
    left_scalars = [-(left_z + item) for item in opened_left]
    on_y = plus(scale(joined(u, join.right), z2), [-item for item in opened_right])
    right_scalars = [right_z + item for item in times(on_y, y_inverses)]
    return FinalCheck(value, weight * tau_x - mu, left_scalars, right_scalars, scalars, points, fingerprint)


def _block_weights(group: Group, factors: list[Scalar]) -> list[Scalar]:
    """Return, for each block of tail length, the product of the factors of the rounds that had it in the upper half."""
    weights = [group.scalar(1)]
    for factor in factors:
        # The first round decides the highest bit of the block's number, so each later one splits finer.
        weights = [item for low in weights for item in (low, low * factor)]
    return weights
