"""The last step of verification: one multi-scalar multiplication for one proof or for many. Anyone may call it.

Check number k of a batch counts ω^k times. The challenge ω depends on every byte of every statement and proof, and in a
batch on fresh random bytes of the verifier's too, so nobody can choose two wrong proofs whose errors cancel. The shares
of the generators, and those of points that occur in several checks, are added up before the multiplication: that is
what a batch saves.

Source: batch verification under random weights, Bellare, Garay and Rabin, *Fast batch verification for modular
exponentiation and digital signatures* (1998), the small-exponents test with exponents of full length.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from atomic_margin.zk.errors import BitProofInvalid
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, Point, Scalar
from atomic_margin.zk.transcript import Transcript
from atomic_margin.zk.vectors import powers, scale


@dataclass(frozen=True)
class FinalCheck:
    """Multiples of generators and points that must sum to the identity.

    ``value`` and ``blinding`` belong to the Pedersen bases, ``left`` and ``right`` to the generator vectors,
    ``scalars`` to ``points``. ``fingerprint`` depends on every byte of statement and proof.
    """

    value: Scalar
    blinding: Scalar
    left: list[Scalar]
    right: list[Scalar]
    scalars: list[Scalar]
    points: list[Point]
    fingerprint: bytes


def batch_weights(checks: Sequence[FinalCheck], group: Group, fresh: bytes = b"") -> list[Scalar]:
    """Return 1, ω, ω^2, … for a challenge ω over all checks and fresh bytes, drawn once these are fixed."""
    transcript = Transcript("batch", [("checks", len(checks).to_bytes(8, "big"))])
    for check in checks:
        transcript.absorb("fingerprint", check.fingerprint)
    if fresh:
        transcript.absorb("fresh", fresh)
    return powers(group, group.scalar(transcript.challenge("omega")), len(checks))


def verify_checks(checks: Sequence[FinalCheck], group: Group, fresh: bytes = b"") -> None:
    """Check that every one of ``checks`` sums to the identity; returning means it does.

    Args:
        checks: at least one, of points that the backend decoded; equal objects are multiplied once.
        group: the backend they belong to.
        fresh: random bytes of the verifier's, drawn after all of ``checks`` were fixed; none where it checks one.

    Raises:
        BitProofInvalid: at least one does not.
    """
    generators = load_generators(group, max(len(check.left) for check in checks))
    value = blinding = group.scalar(0)
    left: list[Scalar] = []
    right: list[Scalar] = []
    shares: dict[int, Scalar] = {}
    points: dict[int, Point] = {}
    for check, weight in zip(checks, batch_weights(checks, group, fresh), strict=True):
        value, blinding = value + weight * check.value, blinding + weight * check.blinding
        left, right = _add(left, scale(check.left, weight)), _add(right, scale(check.right, weight))
        for point, share in zip(check.points, scale(check.scalars, weight), strict=True):
            key = id(point)
            shares[key] = shares[key] + share if key in shares else share
            points[key] = point
    total = group.msm(
        [generators.value, generators.blinding, *generators.left, *generators.right, *points.values()],
        [value, blinding, *left, *right, *shares.values()],
    )
    if total != group.identity():
        raise BitProofInvalid


def _add(longer: list[Scalar], other: list[Scalar]) -> list[Scalar]:
    if len(longer) < len(other):
        longer, other = other, longer
    return [*map(operator.add, longer, other), *longer[len(other) :]]
