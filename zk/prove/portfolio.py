"""Prove that a committed portfolio is in range and within its gross limit. Prover only.

>>> from atomic_margin.zk.prove.commit import commit_values
>>> from atomic_margin.zk.verify.portfolio import verify_portfolio
>>> context = {"institution": "fund", "submission": "1"}
>>> commitments, blindings = commit_values((3, 1), bytes(32), context)
>>> statement = PortfolioStatement(commitments, (5, 5), (1, 32), 40, context)
>>> verify_portfolio(statement, prove_portfolio(statement, PortfolioWitness((3, 1), blindings)))
"""

from atomic_margin.zk.bits.prove import prove_bits
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.witness import PortfolioWitness, binary
from atomic_margin.zk.statements.portfolio import PortfolioStatement


def prove_portfolio(statement: PortfolioStatement, witness: PortfolioWitness, group: Group | None = None) -> bytes:
    """Return a proof of ``statement``.

    Raises:
        WitnessError: naming the entry out of range, the gross limit, or the commitment that does not open.
    """
    witness.check_count(len(statement.commitments))
    bits: list[int] = []
    for index, (value, width) in enumerate(zip(witness.values, statement.widths, strict=True)):
        if not 0 <= value < 1 << width:
            raise WitnessError(f"entry {index} is not in [0, 2^{width}): split it into digits or another profile")
        bits += binary(value, width)
    gross = sum(weight * value for weight, value in zip(statement.gross_weights, witness.values, strict=True))
    if gross > statement.gross_limit:
        raise WitnessError("the portfolio exceeds the gross limit: reduce it or apply for a higher limit")
    bits += binary(statement.gross_limit - gross, statement.slack_bits)
    return prove_bits(
        statement.bit_statement(), BitWitness(bits, witness.values, witness.blindings), group or load_group()
    )
