"""Verify portfolio proofs. Anyone may call it.

>>> from atomic_margin.zk.statements.portfolio import PortfolioStatement
>>> statement = PortfolioStatement((bytes(48),), (5,), (1,), 31, {"institution": "fund"})
>>> verify_portfolio(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 10 bits is 929 bytes, got 0
"""

from atomic_margin.zk.bits.final import FinalCheck
from atomic_margin.zk.bits.verify import gather
from atomic_margin.zk.errors import PortfolioProofInvalid
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.verify.conclude import conclude


def verify_portfolio(
    statement: PortfolioStatement,
    proof: bytes,
    group: Group | None = None,
    known: dict[bytes, Point] | None = None,
) -> None:
    """Check that ``proof`` shows every entry in range and the gross limit kept; returning means it does.

    ``known`` are commitments decoded before, see `decode_commitments`: those decoded now are added.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        PortfolioProofInvalid: the proof does not prove the statement.
    """
    conclude(gather_portfolio(statement, proof, group := group or load_group(), known), group, PortfolioProofInvalid)


def gather_portfolio(
    statement: PortfolioStatement, proof: bytes, group: Group, known: dict[bytes, Point] | None = None
) -> FinalCheck:
    """Do everything but the multiplication, for a batch; ``known`` are commitments decoded before."""
    return gather(statement.bit_statement(), proof, group, known)
