"""Prove that some row of A z + c is negative, without saying which. Prover only.

>>> import numpy
>>> from atomic_margin.zk.prove.commit import commit_values
>>> from atomic_margin.zk.verify.breach import verify_breach
>>> context = {"institution": "fund", "run": "1"}
>>> commitments, blindings = commit_values((3, 1), bytes(32), context)
>>> statement = BreachStatement(commitments, numpy.array([[-10, 4], [2, -8]]), (40, 1), 6, context)
>>> verify_breach(statement, prove_breach(statement, BreachWitness((3, 1), blindings)))
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness, check_openings
from atomic_margin.zk.choice import ChoiceProof, choice_challenge, last_share
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, SCALAR_BYTES, Group, Point, load_group
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.prove.witness import BreachWitness, binary
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.verify.breach import PROOF_VERSION


@dataclass(frozen=True)
class KnownRow:
    """What the prover knows of a row's commitment: C_r = value G + blinding H + the points. Nothing is in its ``repr``.

    Of the chosen row it knows value and blinding. Of others the points are enough.
    """

    value: int = field(repr=False)
    blinding: int = field(repr=False)
    points: tuple[Point, ...] = field(default=(), repr=False)


def prove_breach(statement: BreachStatement, witness: BreachWitness, group: Group | None = None) -> bytes:
    """Return a proof of ``statement``. If several rows are negative, one of them is chosen at random.

    Raises:
        WitnessError: no row is negative, a shortfall takes too many bits, or a commitment does not open.
    """
    group = group or load_group()
    witness.check_count(len(statement.commitments))
    surpluses = [
        sum(weight * value for weight, value in zip(weights, witness.values, strict=True)) + offset
        for weights, offset in zip(statement.weights.tolist(), statement.offsets, strict=True)
    ]
    negative = [row for row, surplus in enumerate(surpluses) if surplus < 0]
    if not negative:
        raise WitnessError("no row is negative: there is no breach to prove")
    fitting = [row for row in negative if -surpluses[row] <= 1 << statement.bits]
    if not fitting:
        raise WitnessError(f"every negative row takes more than {statement.bits} bits: coarsen the unit")
    check_openings(statement.commitments, witness.values, witness.blindings, group)
    return argue_breach(statement, witness, surpluses, secrets.choice(fitting), group)


def argue_breach(
    statement: BreachStatement, witness: BreachWitness, surpluses: Sequence[int], chosen: int, group: Group
) -> bytes:
    """Run both arguments about row ``chosen`` without looking: a false claim gives a proof that does not verify."""
    rows = [
        KnownRow(surplus, sum(weight * gamma for weight, gamma in zip(weights, witness.blindings, strict=True)))
        for weights, surplus in zip(statement.weights.tolist(), surpluses, strict=True)
    ]
    return argue_choice(statement, rows, chosen, (*witness.values, *witness.blindings), group)


def argue_choice(
    statement: BreachStatement, rows: Sequence[KnownRow], chosen: int, known: Sequence[int], group: Group
) -> bytes:
    """Run both arguments about row ``chosen``, one of ``rows``; ``known`` hedge the nonces."""
    numbers = (*known, chosen)
    secret = hashlib.sha512(b"".join((number % ORDER).to_bytes(SCALAR_BYTES, "big") for number in numbers)).digest()
    nonces = NonceStream(secret, *(data for _, data in statement.binding()))
    generators = load_generators(group, 0)
    bases = [generators.value, generators.blinding]
    value, blinding = rows[chosen].value, nonces.integer()
    W = group.encode_point(group.msm(bases, group.scalars((value, blinding))))

    # Rows not chosen: challenge and response first, then the announcement they fit, z_r H - e_r (W - C_r).
    shares, responses = nonces.integers(statement.rows), nonces.integers(statement.rows)
    announcements = []
    for index, (row, e, z) in enumerate(zip(rows, shares, responses, strict=True)):
        opening = (-e * (value - row.value), z - e * (blinding - row.blinding), *(e for _ in row.points))
        points = [*bases, *row.points]
        if index == chosen:
            # Its response is still a nonce, and its announcement that nonce times H.
            opening, points = (0, z), bases
        announcements.append(group.encode_point(group.msm(points, group.scalars(opening))))
    challenge = choice_challenge(statement.binding(), W, announcements)
    shares[chosen] = last_share(challenge, (share for index, share in enumerate(shares) if index != chosen))
    responses[chosen] = (responses[chosen] + shares[chosen] * (blinding - rows[chosen].blinding)) % ORDER

    choice = ChoiceProof(W, tuple(announcements), _encoded(shares[:-1]), _encoded(responses)).to_bytes()
    bits = binary(-value - 1, statement.bits)
    bit_proof = argue(statement.bit_statement(W, choice), BitWitness(bits, (value,), (blinding,)), group)
    return bytes([PROOF_VERSION]) + choice + bit_proof


def _encoded(numbers: Sequence[int]) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(SCALAR_BYTES, "big") for number in numbers)
