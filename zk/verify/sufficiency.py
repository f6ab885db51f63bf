"""Verify sufficiency proofs. Anyone may call it, but only after `verify_portfolio` on the same commitments.

>>> import numpy
>>> from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
>>> statement = SufficiencyStatement((bytes(48),), numpy.array([[-3]]), (100,), 0, 10, {"institution": "fund"})
>>> verify_sufficiency(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 10 bits is 929 bytes, got 0
"""

from atomic_margin.zk.bits.verify import verify_bits
from atomic_margin.zk.errors import BitProofInvalid, SufficiencyProofInvalid
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement


def verify_sufficiency(statement: SufficiencyStatement, proof: bytes, group: Group | None = None) -> None:
    """Check that ``proof`` shows every row's surplus in [0, 2^bits); returning means it does.

    Unsound without a verified portfolio proof on the same commitments: entries could be negative.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        SufficiencyProofInvalid: the proof does not prove the statement.
    """
    try:
        verify_bits(statement.bit_statement(), proof, group or load_group())
    except BitProofInvalid:
        raise SufficiencyProofInvalid(
            "the sufficiency proof does not prove this statement: compare commitments, matrix, offsets, top-up and "
            "every context label with the prover's; if all agree, treat the run as unproven"
        ) from None
