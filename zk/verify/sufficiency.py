"""Verify sufficiency proofs. Anyone may call it, but only after `verify_portfolio` on the same commitments.

>>> import numpy
>>> from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
>>> statement = SufficiencyStatement((bytes(48),), numpy.array([[-3]]), (100,), 0, 10, {"institution": "fund"})
>>> verify_sufficiency(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 10 bits is 929 bytes, got 0
"""

from atomic_margin.zk.bits.final import FinalCheck
from atomic_margin.zk.bits.verify import gather
from atomic_margin.zk.errors import SufficiencyProofInvalid
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.conclude import conclude


def verify_sufficiency(statement: SufficiencyStatement, proof: bytes, group: Group | None = None) -> None:
    """Check that ``proof`` shows every row's surplus in [0, 2^bits); returning means it does.

    Unsound without a verified portfolio proof on the same commitments: entries could be negative.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        SufficiencyProofInvalid: the proof does not prove the statement.
    """
    conclude(gather_sufficiency(statement, proof, group := group or load_group()), group, SufficiencyProofInvalid)


def gather_sufficiency(
    statement: SufficiencyStatement, proof: bytes, group: Group, known: dict[bytes, Point] | None = None
) -> FinalCheck:
    """Do everything but the multiplication, for a batch; ``known`` are commitments decoded before."""
    return gather(statement.bit_statement(), proof, group, known)
