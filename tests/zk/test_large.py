"""Statements as large as the largest profile: one submission of 4,096 entries, and a row over two books."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from atomic_margin.bench.zk.examples import CASES
from atomic_margin.zk import (
    BatchInvalid,
    EncryptionStatement,
    PortfolioStatement,
    SufficiencyStatement,
    verify_batch,
    verify_encryption,
    verify_sufficiency,
)
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import (
    EncryptionProofInvalid,
    PortfolioProofInvalid,
    ProofError,
    SufficiencyProofInvalid,
    WitnessError,
)
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.key import commit_key
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import EncryptionWitness, PortfolioWitness, SufficiencyWitness, binary

from .ciphertexts import encrypt, random_key
from .conftest import CONTEXT, SECRET


def changed(words: Any, index: Any, by: int) -> Any:
    copy = words.copy()
    copy[index] += np.uint64(by)
    return copy


@pytest.mark.long
def test_an_encryption_statement_over_many_chunks(group: Group) -> None:
    count, key_bits = 560, random_key(64)
    values = tuple(index % 32 for index in range(count))
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    key, opening = commit_key(key_bits, SECRET, CONTEXT, group)
    statement = EncryptionStatement(commitments, key, *encrypt(values, key_bits, 43), (5,) * count, 43, CONTEXT)
    assert statement.bit_statement().parameters.chunks > 1
    proof = prove_encryption(statement, EncryptionWitness(values, blindings, opening), group)
    verify_encryption(statement, proof, group)
    last = (*commitments[:-2], commitments[-1], commitments[-2])
    for change in (
        {"bodies": changed(statement.bodies, count - 1, 1)},
        {"bodies": changed(statement.bodies, 0, 2**43)},
        {"masks": changed(statement.masks, (300, 5), 1)},
        {"commitments": last},
        {"widths": (6, 4, *(5,) * (count - 2))},
        {"context": {**CONTEXT, "submission": "4"}},
    ):
        with pytest.raises(EncryptionProofInvalid):
            verify_encryption(dataclasses.replace(statement, **change), proof, group)


@pytest.mark.long
def test_an_entry_out_of_range_is_refused_in_any_chunk(group: Group) -> None:
    count = 3300
    values = [index % 32 for index in range(count)]
    ones, widths = (1,) * count, (5,) * count
    for position in (0, 1700, count - 1):
        # Out of range by a digit of 2: the integer written in the bits is the committed one all the same.
        false = [*values[:position], 33, *values[position + 1 :]]
        commitments, blindings = commit_values(false, SECRET, CONTEXT, group)
        statement = PortfolioStatement(commitments, widths, ones, 2**20 - 1, CONTEXT)
        with pytest.raises(WitnessError, match=f"entry {position} is not in"):
            prove_portfolio(statement, PortfolioWitness(tuple(false), blindings), group)
        bits = [bit for value in false for bit in (binary(value, 5) if value < 32 else [1, 0, 0, 0, 2])]
        bits += binary(2**20 - 1 - sum(false), 20)
        proof = argue(statement.bit_statement(), BitWitness(bits, false, blindings), group)
        with pytest.raises(BatchInvalid) as caught:
            verify_batch([(statement, proof)], group)
        assert isinstance(caught.value.culprits[0], PortfolioProofInvalid)


@pytest.mark.slow
def test_a_submission_of_4096_entries(group: Group) -> None:
    (example,) = CASES["submission"](4096, 0, 5, 2048, 1, group)
    proofs = example.prove(group)
    assert len(proofs) < 20_000
    example.verify(proofs, group)
    ranges, encrypted = example.statement
    cut = ranges.bit_statement().parameters.proof_bytes
    claims = [(ranges, proofs[:cut]), (encrypted, proofs[cut:])]
    verify_batch(claims, group)
    other = dataclasses.replace(encrypted, bodies=changed(encrypted.bodies, 4095, 1))
    with pytest.raises(BatchInvalid) as caught:
        verify_batch([claims[0], (other, proofs[cut:])], group)
    assert list(caught.value.culprits) == [1]
    with pytest.raises(ProofError):
        example.verify(proofs[:-1] + bytes([proofs[-1] ^ 1]), group)


@pytest.mark.slow
def test_one_row_over_two_books_of_4096_entries(group: Group) -> None:
    old, new = [index % 32 for index in range(4096)], [index % 31 for index in range(4096)]
    (before, first), (after, second) = (commit_values(book, SECRET, CONTEXT, group) for book in (old, new))
    weights = np.array([[*(7,) * 4096, *(-7,) * 4096]], dtype=np.int64)
    surplus = 7 * (sum(old) - sum(new))
    statement = SufficiencyStatement((*before, *after), weights, (1 - surplus,), 0, 24, CONTEXT)
    witness = SufficiencyWitness((*old, *new), (*first, *second))
    proof = prove_sufficiency(statement, witness, group)
    verify_sufficiency(statement, proof, group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(dataclasses.replace(statement, offsets=(-surplus,)), proof, group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(dataclasses.replace(statement, commitments=(*after, *before)), proof, group)
    with pytest.raises(WitnessError, match="row 0 has a negative surplus"):
        prove_sufficiency(dataclasses.replace(statement, offsets=(-1 - surplus,)), witness, group)
