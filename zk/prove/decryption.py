"""Prove what ciphertexts decrypt to under a committed key. Prover only.

>>> import numpy
>>> from atomic_margin.zk.prove.key import commit_key
>>> from atomic_margin.zk.verify.decryption import verify_decryption
>>> context = {"institution": "fund", "run": "1"}
>>> key, opening = commit_key((1, 0, 1), bytes(32), context)
>>> masks, bodies = numpy.array([[7, 8, 9]], dtype=numpy.uint64), numpy.array([16 + (1 << 62) - 5], dtype=numpy.uint64)
>>> statement = DecryptionStatement(key, masks, bodies, (1,), context)
>>> verify_decryption(statement, prove_decryption(statement, opening))
"""

from atomic_margin.zk.bits.prove import prove_bits
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.key import KeyOpening
from atomic_margin.zk.prove.lwe import error_bits
from atomic_margin.zk.statements.decryption import DecryptionStatement


def prove_decryption(statement: DecryptionStatement, witness: KeyOpening, group: Group | None = None) -> bytes:
    """Return a proof of ``statement``; its only secret is the key.

    Raises:
        WitnessError: naming the ciphertext that does not decrypt to its value, or the key commitment that does not
            open.
    """
    group = group or load_group()
    bits = list(witness.bits)
    ciphertexts = zip(statement.values, witness.inner_products(statement.masks), statement.bodies.tolist(), strict=True)
    for index, (value, phase, body) in enumerate(ciphertexts):
        message = value << statement.scale_bits
        name = f"ciphertext {index}"
        bits += error_bits(phase, message, body, statement.noise_bits, statement.key.dimension, name)
    return prove_bits(statement.bit_statement(), BitWitness(bits, witness.packed, witness.blindings), group)
