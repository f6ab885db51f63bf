"""Verify encryption proofs. Anyone may call it.

>>> import numpy
>>> from atomic_margin.zk.statements.key import KeyCommitments
>>> from atomic_margin.zk.statements.encryption import EncryptionStatement
>>> key = KeyCommitments(4, (bytes(48),))
>>> masks, bodies = numpy.zeros((1, 4), dtype=numpy.uint64), numpy.zeros(1, dtype=numpy.uint64)
>>> statement = EncryptionStatement((bytes(48),), key, masks, bodies, (5,), 43, {"institution": "fund"})
>>> verify_encryption(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 31 bits is 1409 bytes, got 0
"""

from atomic_margin.zk.bits.final import FinalCheck
from atomic_margin.zk.bits.verify import gather
from atomic_margin.zk.errors import EncryptionProofInvalid
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.statements.encryption import EncryptionStatement
from atomic_margin.zk.verify.conclude import conclude


def verify_encryption(
    statement: EncryptionStatement,
    proof: bytes,
    group: Group | None = None,
    known: dict[bytes, Point] | None = None,
) -> None:
    """Check that every ciphertext encrypts the committed entry under the committed key; returning means it does.

    Expand the masks yourself, from what the submission names for them: never take them from the prover.
    ``known`` are commitments decoded before, see `decode_commitments`: those of a portfolio statement are the same.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        EncryptionProofInvalid: the proof does not prove the statement.
    """
    conclude(gather_encryption(statement, proof, group := group or load_group(), known), group, EncryptionProofInvalid)


def gather_encryption(
    statement: EncryptionStatement, proof: bytes, group: Group, known: dict[bytes, Point] | None = None
) -> FinalCheck:
    """Do everything but the multiplication, for a batch; ``known`` are commitments decoded before."""
    return gather(statement.bit_statement(), proof, group, known)
