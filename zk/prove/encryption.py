"""Prove that ciphertexts encrypt committed entries under a committed key. Prover only.

>>> import numpy
>>> from atomic_margin.zk.prove.commit import commit_values
>>> from atomic_margin.zk.prove.key import commit_key
>>> from atomic_margin.zk.verify.encryption import verify_encryption
>>> context = {"institution": "fund", "submission": "1"}
>>> key, opening = commit_key((1, 0, 1), bytes(32), context)
>>> commitments, blindings = commit_values((3,), bytes(32), context)
>>> masks, bodies = numpy.array([[7, 8, 9]], dtype=numpy.uint64), numpy.array([16 + (3 << 43) - 5], dtype=numpy.uint64)
>>> statement = EncryptionStatement(commitments, key, masks, bodies, (5,), 43, context)
>>> verify_encryption(statement, prove_encryption(statement, EncryptionWitness((3,), blindings, opening)))
"""

from atomic_margin.zk.bits.prove import prove_bits
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.lwe import error_bits
from atomic_margin.zk.prove.witness import EncryptionWitness, binary
from atomic_margin.zk.statements.encryption import EncryptionStatement


def prove_encryption(statement: EncryptionStatement, witness: EncryptionWitness, group: Group | None = None) -> bytes:
    """Return a proof of ``statement``.

    Raises:
        WitnessError: naming the entry out of range, the ciphertext whose error is, or the commitment (the key's follow
            those of the entries) that does not open.
    """
    group = group or load_group()
    witness.check_count(len(statement.commitments))
    phases = witness.key.inner_products(statement.masks)
    bits = list(witness.key.bits)
    entries = zip(witness.values, statement.widths, phases, statement.bodies.tolist(), strict=True)
    for index, (value, width, phase, body) in enumerate(entries):
        if not 0 <= value < 1 << width:
            raise WitnessError(f"entry {index} is not in [0, 2^{width}): split it into digits or another profile")
        bits += binary(value, width)
        message = value << statement.scale_bits
        name = f"ciphertext {index}"
        bits += error_bits(phase, message, body, statement.noise_bits, statement.key.dimension, name)
    values = (*witness.values, *witness.key.packed)
    return prove_bits(
        statement.bit_statement(), BitWitness(bits, values, (*witness.blindings, *witness.key.blindings)), group
    )
