"""One committed key links every proof about it."""

import dataclasses

import numpy as np
import pytest

from atomic_margin.zk import DecryptionStatement, KeyCommitments, key_commitment_hash, verify_decryption
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import DecryptionProofInvalid, StatementError, WitnessError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.key import KeyOpening, commit_key
from atomic_margin.zk.prove.lwe import error_bits

from .ciphertexts import encrypt, random_key
from .conftest import CONTEXT, KEY, SECRET, Case


def test_chunks_cover_the_key() -> None:
    for dimension, count in ((1, 1), (248, 1), (249, 2), (2048, 9), (8192, 34)):
        chunks = KeyCommitments(dimension, (bytes(48),) * count).chunks
        assert [index for start, width in chunks for index in range(start, start + width)] == list(range(dimension))
        assert max(width for _, width in chunks) <= 248


@pytest.mark.parametrize(("dimension", "count"), [(0, 0), (-1, 0), (8193, 34), (2048, 8), (2048, 10), (248, 2)])
def test_other_dimensions_and_counts_are_refused(dimension: int, count: int) -> None:
    with pytest.raises(StatementError):
        KeyCommitments(dimension, (bytes(48),) * count)


def test_the_hash_names_dimension_order_and_content(group: Group) -> None:
    key, _ = commit_key(random_key(500), SECRET, CONTEXT, group)
    hashes = {
        key.hash,
        key_commitment_hash(500, key.commitments[::-1]),
        key_commitment_hash(501, key.commitments),
        key_commitment_hash(500, key.commitments[:1]),
        commit_key(random_key(500), SECRET, CONTEXT, group)[0].hash,
    }
    assert len(hashes) == 5
    assert key.hash == key_commitment_hash(500, key.commitments)


def test_the_hash_is_frozen() -> None:
    expected = "6e0323f084ff4ff448a8a43cef88952dc9efbb272d9580efe67859cb6823db6f"
    assert KeyCommitments(2, (bytes(48),)).hash == expected


def test_packing_starts_with_the_lowest_bit() -> None:
    bits = (1, 1, 0, 1, *(0,) * 244, 0, 1)
    assert KeyOpening(bits, ()).packed == (11, 2)


def test_only_binary_keys_are_committed_to(group: Group) -> None:
    for bits in ((0, 2), (0, -1), (), (0,) * 8193):
        with pytest.raises(WitnessError):
            commit_key(bits, SECRET, CONTEXT, group)
    key, opening = commit_key(np.array([1, 0, 1], dtype=np.uint64), SECRET, CONTEXT, group)  # type: ignore[arg-type]
    assert opening.bits == (1, 0, 1)
    assert "1" not in repr(opening)
    assert key.dimension == 3


def test_several_chunks_are_each_bound(group: Group) -> None:
    bits = random_key(500)
    key, opening = commit_key(bits, SECRET, CONTEXT, group)
    statement = DecryptionStatement(key, *encrypt((1,), bits, 62), (1,), CONTEXT)
    proof = prove_decryption(statement, opening, group)
    verify_decryption(statement, proof, group)
    fresh, _ = commit_key(bits, SECRET, CONTEXT, group)
    for index in range(3):
        mixed = list(key.commitments)
        mixed[index] = fresh.commitments[index]
        with pytest.raises(DecryptionProofInvalid):
            verify_decryption(dataclasses.replace(statement, key=KeyCommitments(500, tuple(mixed))), proof, group)
    swapped = (key.commitments[1], key.commitments[0], key.commitments[2])
    with pytest.raises(DecryptionProofInvalid):
        verify_decryption(dataclasses.replace(statement, key=KeyCommitments(500, swapped)), proof, group)


def test_a_key_that_differs_in_one_bit_is_not_the_committed_one(decryption: Case, group: Group) -> None:
    # The masks do not touch the last bit, so the equations hold for both keys: only the commitments tell them apart.
    other = (*KEY[:-1], 1 - KEY[-1])
    masks, _ = encrypt((1,), KEY, 62)
    masks[0, -1] = 0
    body = sum(int(a) * s for a, s in zip(masks[0], other, strict=True)) + (1 << 62)
    statement = DecryptionStatement(
        decryption.statement.key, masks, np.array([body % 2**64], dtype=np.uint64), (1,), CONTEXT
    )
    verify_decryption(statement, prove_decryption(statement, decryption.witness, group), group)
    with pytest.raises(WitnessError, match="commitment 0 does not open"):
        prove_decryption(statement, dataclasses.replace(decryption.witness, bits=other), group)
    phase = sum(int(a) * s for a, s in zip(masks[0], other, strict=True))
    bits = [*other, *error_bits(phase, 1 << 62, body % 2**64, 60, 20, "")]
    witness = BitWitness(bits, decryption.witness.packed, decryption.witness.blindings)
    with pytest.raises(DecryptionProofInvalid):
        verify_decryption(statement, argue(statement.bit_statement(), witness, group), group)
