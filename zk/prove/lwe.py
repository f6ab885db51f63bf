"""Errors and carries of LWE ciphertexts, as committed bits. Prover only.

>>> error_bits(phase=(1 << 64) - 3, message=0, body=0, noise_bits=2, dimension=1, name="ciphertext 0")
[1, 1, 1, 0, 1]
"""

from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.prove.witness import binary
from atomic_margin.zk.statements.lwe import WORD_BITS, carry_bits


def error_bits(phase: int, message: int, body: int, noise_bits: int, dimension: int, name: str) -> list[int]:
    """Return the bits of e + 2^noise_bits and k + 1 in <a, s> + message + e - body = 2^64 k.

    Args:
        phase: <a, s> over the integers.
        message: the scaled message.
        body: the ciphertext's last word.
        noise_bits: logarithm of the error's bound.
        dimension: n.
        name: what to call the ciphertext in an error.

    Raises:
        WitnessError: the error is out of range.
    """
    half = 1 << (WORD_BITS - 1)
    error = (body - phase - message + half) % (1 << WORD_BITS) - half
    if not -(1 << noise_bits) <= error < 1 << noise_bits:
        raise WitnessError(
            f"the error of {name} is not in [-2^{noise_bits}, 2^{noise_bits}): it is under another key, holds another "
            "message, or is too noisy"
        )
    carry = (phase + message + error - body) >> WORD_BITS
    return [*binary(error + (1 << noise_bits), noise_bits + 1), *binary(carry + 1, carry_bits(dimension))]
