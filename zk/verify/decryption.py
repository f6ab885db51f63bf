"""Verify decryption proofs. Anyone may call it.

>>> import numpy
>>> from atomic_margin.zk.statements.key import KeyCommitments
>>> from atomic_margin.zk.statements.decryption import DecryptionStatement
>>> key = KeyCommitments(4, (bytes(48),))
>>> masks, bodies = numpy.zeros((1, 4), dtype=numpy.uint64), numpy.zeros(1, dtype=numpy.uint64)
>>> statement = DecryptionStatement(key, masks, bodies, (1,), {"institution": "fund"})
>>> verify_decryption(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a proof about 68 bits is 1153 bytes, got 0
"""

from atomic_margin.zk.bits.final import FinalCheck
from atomic_margin.zk.bits.verify import gather
from atomic_margin.zk.errors import DecryptionProofInvalid
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.statements.decryption import DecryptionStatement
from atomic_margin.zk.verify.conclude import conclude


def verify_decryption(statement: DecryptionStatement, proof: bytes, group: Group | None = None) -> None:
    """Check that every ciphertext decrypts to its value under the committed key; returning means it does.

    It does not show that the ciphertexts were computed honestly: see the module of the statement.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        DecryptionProofInvalid: the proof does not prove the statement.
    """
    conclude(gather_decryption(statement, proof, group := group or load_group()), group, DecryptionProofInvalid)


def gather_decryption(
    statement: DecryptionStatement, proof: bytes, group: Group, known: dict[bytes, Point] | None = None
) -> FinalCheck:
    """Do everything but the multiplication, for a batch; ``known`` are commitments decoded before."""
    return gather(statement.bit_statement(), proof, group, known)
