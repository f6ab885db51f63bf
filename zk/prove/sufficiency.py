"""Prove that every row of A z + c + X is non-negative and fits its bits. Prover only.

>>> import numpy
>>> from atomic_margin.zk.prove.commit import commit_values
>>> from atomic_margin.zk.verify.sufficiency import verify_sufficiency
>>> context = {"institution": "fund", "submission": "1", "price sequence": "7"}
>>> commitments, blindings = commit_values((3, 1), bytes(32), context)
>>> statement = SufficiencyStatement(commitments, numpy.array([[-10, 4], [2, -8]]), (40, 2), 0, 6, context)
>>> verify_sufficiency(statement, prove_sufficiency(statement, SufficiencyWitness((3, 1), blindings)))
"""

from atomic_margin.zk.bits.prove import prove_bits
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.witness import SufficiencyWitness, binary
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement


def prove_sufficiency(
    statement: SufficiencyStatement, witness: SufficiencyWitness, group: Group | None = None
) -> bytes:
    """Return a proof of ``statement``.

    Raises:
        WitnessError: naming the row that is negative or too wide, or the commitment that does not open.
    """
    witness.check_count(len(statement.commitments))
    bits: list[int] = []
    for row, weights in enumerate(statement.weights.tolist()):
        surplus = sum(weight * value for weight, value in zip(weights, witness.values, strict=True))
        surplus += statement.offsets[row] + statement.top_up
        if surplus < 0:
            raise WitnessError(f"row {row} has a negative surplus: the account needs a top-up")
        if surplus >> statement.bits:
            raise WitnessError(f"the surplus of row {row} takes more than {statement.bits} bits: coarsen the unit")
        bits += binary(surplus, statement.bits)
    return prove_bits(
        statement.bit_statement(), BitWitness(bits, witness.values, witness.blindings), group or load_group()
    )
