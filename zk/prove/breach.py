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

from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness, check_openings
from atomic_margin.zk.choice import ChoiceProof, choice_challenge, last_share
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, SCALAR_BYTES, Group, load_group
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.prove.witness import BreachWitness, binary
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.verify.breach import PROOF_VERSION


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
    numbers = (*witness.values, *witness.blindings, chosen)
    secret = hashlib.sha512(b"".join((number % ORDER).to_bytes(SCALAR_BYTES, "big") for number in numbers)).digest()
    nonces = NonceStream(secret, *(data for _, data in statement.binding()))
    generators = load_generators(group, 0)
    bases = [generators.value, generators.blinding]
    row_blindings = [
        sum(weight * blinding for weight, blinding in zip(weights, witness.blindings, strict=True)) % ORDER
        for weights in statement.weights.tolist()
    ]
    value, blinding = surpluses[chosen], nonces.integer()
    W = group.encode_point(group.msm(bases, group.scalars((value, blinding))))

    # Rows not chosen: challenge and response first, then the announcement they fit; W - C_r by its opening.
    shares, responses = nonces.integers(statement.rows), nonces.integers(statement.rows)
    announcements = []
    for row, (surplus, row_blinding) in enumerate(zip(surpluses, row_blindings, strict=True)):
        opening = (-shares[row] * (value - surplus), responses[row] - shares[row] * (blinding - row_blinding))
        # The chosen row: its response is still a nonce, and its announcement that nonce times H.
        opening = (0, responses[row]) if row == chosen else opening
        announcements.append(group.encode_point(group.msm(bases, group.scalars(opening))))
    challenge = choice_challenge(statement.binding(), W, announcements)
    shares[chosen] = last_share(challenge, (share for row, share in enumerate(shares) if row != chosen))
    responses[chosen] = (responses[chosen] + shares[chosen] * (blinding - row_blindings[chosen])) % ORDER

    choice = ChoiceProof(W, tuple(announcements), _encoded(shares[:-1]), _encoded(responses)).to_bytes()
    bits = binary(-value - 1, statement.bits)
    bit_proof = argue(statement.bit_statement(W, choice), BitWitness(bits, (value,), (blinding,)), group)
    return bytes([PROOF_VERSION]) + choice + bit_proof


def _encoded(numbers: Sequence[int]) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(SCALAR_BYTES, "big") for number in numbers)
