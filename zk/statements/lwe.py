"""LWE ciphertexts in statements: raw words, and their decryption equation as relations. For the statement modules.

A ciphertext under the binary key s is a mask a of n words and a body b, 64 bits each. Its decryption equation is
b = <a, s> + scaled + e modulo 2^64, where scaled is the message times 2^scale_bits and e a small error. Over the
integers, with a carry k:

    <a, s> + scaled + (e + 2^noise_bits) - 2^64 (k + 1)  =  b + 2^noise_bits - 2^64

The error is committed to as e + 2^noise_bits in noise_bits + 1 bits, the carry as k + 1. From 0 <= a, b < 2^64 and
0 <= scaled <= 2^64 - 2^scale_bits follows -1 <= k <= n, which tells how many bits the carry takes. All terms stay below
2^80, far from the group order, so the equation modulo r is the equation over the integers.

Source of the encryption scheme: Regev, *On lattices, learning with errors, random linear codes, and cryptography*
(2005), with the torus discretised to 64 bits as in Chillotti, Gama, Georgieva and Izabachène, *TFHE* (2020).

>>> carry_bits(2048)
12
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atomic_margin.zk.bits.statement import LinearForm, Relation
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements import checks
from atomic_margin.zk.statements.key import KeyCommitments

WORD_BITS = 64


def carry_bits(dimension: int) -> int:
    """Return the bits of k + 1, which lies in [0, n + 1] for dimension n."""
    return (dimension + 1).bit_length()


def words(
    masks: npt.NDArray[np.uint64], bodies: npt.NDArray[np.uint64], dimension: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return read-only copies of the words of N ciphertexts.

    Args:
        masks: uint64, shape (N, n).
        bodies: uint64, shape (N,).
        dimension: n of the key they should be under.

    Raises:
        StatementError: other types or shapes, or not 1 to 4096 ciphertexts.
    """
    arrays: tuple[tuple[str, object, int], ...] = (("masks", masks, 2), ("bodies", bodies, 1))
    for name, array, dimensions in arrays:
        if not isinstance(array, np.ndarray) or array.dtype != np.uint64 or array.ndim != dimensions:
            raise StatementError(f"{name} is a numpy array of uint64 with {dimensions} dimensions")
    if not 1 <= len(masks) <= checks.MAX_ENTRIES:
        raise StatementError(f"a statement is about 1 to {checks.MAX_ENTRIES} ciphertexts, got {len(masks)}")
    if masks.shape[1] != dimension or len(bodies) != len(masks):
        raise StatementError(
            f"masks has shape {masks.shape[0]} x {masks.shape[1]}, but the key has dimension {dimension} and there are "
            f"{len(bodies)} bodies"
        )
    # Private copies: what was checked must be what is proved.
    masks, bodies = masks.copy(), bodies.copy()
    masks.setflags(write=False)
    bodies.setflags(write=False)
    return masks, bodies


def margin(message_bits: int, scale_bits: int, noise_bits: int) -> None:
    """Check that a message of ``message_bits`` bits and the error do not touch.

    Raises:
        StatementError: the message leaves the word, or two messages could explain one ciphertext.
    """
    checks.integer("scale_bits", scale_bits, 1, WORD_BITS - 1)
    checks.integer("noise_bits", noise_bits, 0, WORD_BITS - 1)
    if message_bits + scale_bits > WORD_BITS:
        raise StatementError(f"a message of {message_bits} bits times 2^{scale_bits} does not fit {WORD_BITS} bits")
    if noise_bits + 1 > scale_bits:
        raise StatementError(
            f"errors in [-2^{noise_bits}, 2^{noise_bits}) would blur a message scaled by 2^{scale_bits}: one "
            "ciphertext could be opened to two messages"
        )


def words_binding(
    masks: npt.NDArray[np.uint64], bodies: npt.NDArray[np.uint64]
) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """Return what the transcript absorbs: SHA-256 of all masks in order, and the bodies themselves."""
    return (
        ("masks", hashlib.sha256(masks.astype(">u8").tobytes()).digest()),
        ("bodies", bodies.astype(">u8").tobytes()),
    )


def decryption_relation(message: LinearForm, constant: int, start: int, noise_bits: int, dimension: int) -> Relation:
    """Return the equation of one ciphertext without <a, s>, which is dense and batched apart.

    Args:
        message: the scaled message as a form on the bits; empty if the message is public.
        constant: the body, minus the scaled message if that is public.
        start: first bit of the error, which the carry follows.
        noise_bits: logarithm of the error's bound.
        dimension: n of the key.
    """
    width = carry_bits(dimension)
    error = LinearForm.binary(start, noise_bits + 1)
    carry = LinearForm.binary(start + noise_bits + 1, width)
    return Relation(
        LinearForm(
            (*message.indices, *error.indices, *carry.indices),
            (*message.coefficients, *error.coefficients, *(-(c << WORD_BITS) for c in carry.coefficients)),
        ),
        LinearForm((), ()),
        constant + (1 << noise_bits) - (1 << WORD_BITS),
    )


def key_relations(key: KeyCommitments, first_commitment: int) -> tuple[Relation, ...]:
    """Return one relation for each chunk of the key, whose bits are the first of the statement."""
    return tuple(
        Relation(LinearForm.binary(start, width), LinearForm((index,), (1,)), 0)
        for index, (start, width) in enumerate(key.chunks, first_commitment)
    )


def single_bits(count: int) -> Sequence[tuple[int, int]]:
    """Return the words of a dense form whose columns are the first ``count`` bits one by one."""
    return [(index, 1) for index in range(count)]
