"""Verify portfolio proofs. Anyone may call it.

>>> from atomic_margin.zk.statements.portfolio import PortfolioStatement
>>> statement = PortfolioStatement((bytes(48),), (5,), (1,), 31, {"institution": "fund"})
>>> verify_portfolio(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 10 bits is 929 bytes, got 0
"""

from atomic_margin.zk.bits.verify import verify_bits
from atomic_margin.zk.errors import BitProofInvalid, PortfolioProofInvalid
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.statements.portfolio import PortfolioStatement


def verify_portfolio(statement: PortfolioStatement, proof: bytes, group: Group | None = None) -> None:
    """Check that ``proof`` shows every entry in range and the gross limit kept; returning means it does.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        PortfolioProofInvalid: the proof does not prove the statement.
    """
    try:
        verify_bits(statement.bit_statement(), proof, group or load_group())
    except BitProofInvalid:
        raise PortfolioProofInvalid(
            "the portfolio proof does not prove this statement: compare commitments, widths, gross weights, gross "
            "limit and every context label with the prover's; if all agree, refuse the submission"
        ) from None
