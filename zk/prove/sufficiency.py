"""Prove that every row of A z + c + X, plus slack, is non-negative and fits its bits. Prover only.

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
        WitnessError: naming the row that is negative or too wide, the slack value that is, or the commitment that does
            not open.
    """
    witness.check_count(len(statement.commitments))
    if len(witness.slack) != len(statement.slack_widths):
        raise WitnessError(f"the statement takes {len(statement.slack_widths)} slack values, got {len(witness.slack)}")
    bits: list[int] = []
    rows = zip(statement.weights.tolist(), statement.slack_matrix.tolist(), statement.constants, strict=True)
    for row, (weights, slack_weights, constant) in enumerate(rows):
        surplus = constant + sum(weight * value for weight, value in zip(weights, witness.values, strict=True))
        surplus += sum(weight * value for weight, value in zip(slack_weights, witness.slack, strict=True))
        if surplus < 0:
            raise WitnessError(f"row {row} has a negative surplus: the account needs a top-up")
        if surplus >> statement.bits:
            raise WitnessError(f"the surplus of row {row} takes more than {statement.bits} bits: coarsen the unit")
        bits += binary(surplus, statement.bits)
    for index, (value, width) in enumerate(zip(witness.slack, statement.slack_widths, strict=True)):
        if not 0 <= value < 1 << width:
            raise WitnessError(f"slack {index} is not in [0, 2^{width}): solve for it again or widen it")
        bits += binary(value, width)
    return prove_bits(
        statement.bit_statement(), BitWitness(bits, witness.values, witness.blindings), group or load_group()
    )
