"""Verify that a top-up is what one row lacks, rounded up. Anyone may call it.

But only after `verify_portfolio` on the same commitments.

>>> import numpy
>>> statement = LackStatement((bytes(48),), numpy.array([-3]), 100, top_up=50, step=25, context={"row": "crash"})
>>> verify_lack(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 10 bits is 929 bytes, got 0
"""

from atomic_margin.zk.bits.final import FinalCheck
from atomic_margin.zk.bits.proof import BitProof
from atomic_margin.zk.errors import LackProofInvalid
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.statements.lack import LackStatement
from atomic_margin.zk.verify.conclude import conclude
from atomic_margin.zk.verify.sufficiency import gather_sufficiency


def verify_lack(statement: LackStatement, proof: bytes, group: Group | None = None) -> None:
    """Check that ``proof`` shows the row plus the top-up to be in [0, step); returning means it does.

    Unsound without a verified portfolio proof on the same commitments: entries could be out of range.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode, or that to the row is the identity.
        LackProofInvalid: the proof does not prove the statement.
    """
    conclude(gather_lack(statement, proof, group := group or load_group()), group, LackProofInvalid)


def gather_lack(
    statement: LackStatement, proof: bytes, group: Group, known: dict[bytes, Point] | None = None
) -> FinalCheck:
    """Do everything but the multiplication, for a batch; ``known`` are commitments decoded before.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode, or that to the row is the identity.
    """
    # Lengths and version, before any point is touched.
    BitProof.from_bytes(proof, statement.parameters)
    row = statement.row_point(group, known)
    encoded = group.encode_point(row)
    # Not kept among those decoded before: no other statement has it. The identity is left to be decoded, and refused.
    own = {} if row == group.identity() else {encoded: row}
    return gather_sufficiency(statement.sufficiency(encoded), proof, group, own)
