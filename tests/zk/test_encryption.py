"""An encryption proof exists exactly when every ciphertext encrypts its committed entry under the committed key."""

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import EncryptionStatement, KeyCommitments, load_group, verify_encryption
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import EncryptionProofInvalid, ProofEncodingError, WitnessError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.key import commit_key
from atomic_margin.zk.prove.lwe import error_bits
from atomic_margin.zk.prove.witness import EncryptionWitness, binary
from atomic_margin.zk.statements import lwe

from .ciphertexts import encrypt, random_key
from .conftest import CONTEXT, SECRET, VALUES, Case
from .kinds import first_challenges


def small(group: Group, value: int, error: int, key_bits: tuple[int, ...] = (1, 0, 1, 1), width: int = 3) -> Case:
    """One ciphertext in a word of few message and error bits: scale 2^10, errors in [-2^4, 2^4)."""
    key, opening = commit_key(key_bits, SECRET, CONTEXT, group)
    commitments, blindings = commit_values((value,), SECRET, CONTEXT, group)
    masks, bodies = encrypt((value,), key_bits, 10, errors=(error,))
    statement = EncryptionStatement(commitments, key, masks, bodies, (width,), 10, CONTEXT, noise_bits=4)
    return Case(statement, EncryptionWitness((value,), blindings, opening), b"")


def forge(case: Case, group: Group, *, message: int, error: int, carry: int | None = None) -> bytes:
    """Prove with the given message, error and carry, which need not be right or even bits."""
    statement, witness = case.statement, case.witness
    (phase,), (body,) = witness.key.inner_products(statement.masks), statement.bodies.tolist()
    carry = (phase + (message << 10) + error - body) >> 64 if carry is None else carry

    def digits(value: int, width: int) -> list[int]:
        # Whatever does not fit goes into the highest digit.
        top = width - 1
        return [*binary(value & ((1 << top) - 1), top), value >> top]

    bits = [
        *witness.key.bits,
        *digits(message, 3),
        *digits(error + 16, 5),
        *digits(carry + 1, lwe.carry_bits(len(witness.key.bits))),
    ]
    values, blindings = (*witness.values, *witness.key.packed), (*witness.blindings, *witness.key.blindings)
    return argue(statement.bit_statement(), BitWitness(bits, values, blindings), group)


def test_an_honest_proof_verifies_on_both_backends(encryption: Case, backend: Group) -> None:
    verify_encryption(encryption.statement, encryption.proof, backend)


def test_the_reference_backend_proves_for_the_fast_one(group: Group) -> None:
    reference = load_group("reference")
    case = small(reference, 5, 3)
    verify_encryption(case.statement, prove_encryption(case.statement, case.witness, reference), group)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_is_encrypted_can_be_proved_and_nothing_else(data: st.DataObject) -> None:
    group = load_group("arkworks")
    value = data.draw(st.integers(0, 7))
    error = data.draw(st.integers(-20, 20) | st.sampled_from([-17, -16, 15, 16, 1024, -1024]))
    key_bits = tuple(data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=9)))
    case = small(group, value, error, key_bits)
    if -16 <= error < 16:
        verify_encryption(case.statement, prove_encryption(case.statement, case.witness, group), group)
    else:
        with pytest.raises(WitnessError, match="error of ciphertext 0"):
            prove_encryption(case.statement, case.witness, group)


@pytest.mark.parametrize("word", [0, 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("body", [0, 1, 2**64 - 1, 2**64 - 16])
def test_carries_at_the_extremes(group: Group, word: int, body: int) -> None:
    # All ones under an extreme mask, and a body just beside zero: the smallest and the largest carries there are.
    for bits in ((1,) * 7, (0,) * 6 + (1,)):
        key, opening = commit_key(bits, SECRET, CONTEXT, group)
        phase = word * sum(bits)
        commitments, blindings = commit_values((0,), SECRET, CONTEXT, group)
        masks = np.full((1, 7), word, dtype=np.uint64)
        error = (body - phase + 2**63) % 2**64 - 2**63
        bodies = np.array([body], dtype=np.uint64)
        if not -(2**18) <= error < 2**18:
            bodies = np.array([phase % 2**64], dtype=np.uint64)
        statement = EncryptionStatement(commitments, key, masks, bodies, (1,), 63, CONTEXT)
        witness = EncryptionWitness((0,), blindings, opening)
        verify_encryption(statement, prove_encryption(statement, witness, group), group)


def test_forged_errors_messages_and_carries_are_refused(group: Group) -> None:
    case = small(group, 5, 3)
    verify_encryption(case.statement, forge(case, group, message=5, error=3), group)
    for message, error, carry in (
        (4, 3 + 1024, None),  # another message, the rest called error
        (6, 3 - 1024, None),
        (5, 3, 0),  # another carry
        (5, 3, 2),
        (5, 4, None),
    ):
        with pytest.raises(EncryptionProofInvalid):
            verify_encryption(case.statement, forge(case, group, message=message, error=error, carry=carry), group)


def test_an_error_out_of_range_is_refused_even_if_it_adds_up(group: Group) -> None:
    for error in (16, -17, 2**9):
        case = small(group, 5, error)
        with pytest.raises(EncryptionProofInvalid):
            verify_encryption(case.statement, forge(case, group, message=5, error=error), group)


def test_a_committed_entry_other_than_the_encrypted_one_is_refused(encryption: Case, group: Group) -> None:
    for index, other in ((0, 4), (1, 1), (2, 30)):
        values = (*VALUES[:index], other, *VALUES[index + 1 :])
        commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
        statement = dataclasses.replace(encryption.statement, commitments=commitments)
        with pytest.raises(WitnessError, match=f"error of ciphertext {index}"):
            prove_encryption(statement, EncryptionWitness(values, blindings, encryption.witness.key), group)
        with pytest.raises(EncryptionProofInvalid):
            verify_encryption(statement, encryption.proof, group)


def test_an_entry_that_is_the_committed_one_only_modulo_the_order_is_refused(group: Group) -> None:
    # The commitment holds -3, the ciphertext 5 = -3 modulo 8: three bits, the opening has all 255.
    case = small(group, 5, 3)
    commitments, blindings = commit_values((-3,), SECRET, CONTEXT, group)
    statement = dataclasses.replace(case.statement, commitments=commitments)
    forged = dataclasses.replace(
        case, statement=statement, witness=EncryptionWitness((-3,), blindings, case.witness.key)
    )
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(statement, forge(forged, group, message=5, error=3), group)


def test_another_key_is_refused(encryption: Case, group: Group) -> None:
    other, opening = commit_key(random_key(20, seed=9), SECRET, CONTEXT, group)
    statement = dataclasses.replace(encryption.statement, key=other)
    witness = EncryptionWitness(VALUES, encryption.witness.blindings, opening)
    with pytest.raises(WitnessError, match="under another key"):
        prove_encryption(statement, witness, group)
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(statement, encryption.proof, group)
    # Ciphertexts under the other key, and commitments to the first one.
    masks, bodies = encrypt(VALUES, opening.bits, 43)
    statement = dataclasses.replace(encryption.statement, masks=masks, bodies=bodies)
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(statement, encryption.proof, group)


def test_a_key_element_that_is_not_a_bit_is_refused(group: Group) -> None:
    # s = (2, 0, 1, 1) satisfies every equation, and its packed chunk is a number like any other.
    case = small(group, 5, 3)
    key = dataclasses.replace(case.witness.key, bits=(2, 0, 1, 1))
    commitments, blindings = commit_values(key.packed, SECRET, CONTEXT, group)
    masks, bodies = encrypt((5,), key.bits, 10, errors=(3,))
    statement = dataclasses.replace(case.statement, key=KeyCommitments(4, commitments), masks=masks, bodies=bodies)
    witness = EncryptionWitness((5,), case.witness.blindings, dataclasses.replace(key, blindings=blindings))
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(statement, forge(Case(statement, witness, b""), group, message=5, error=3), group)


def test_another_key_than_the_committed_one_is_refused_even_if_it_decrypts(group: Group) -> None:
    # The ciphertext is under the key the prover uses; only its commitments are to another one.
    case = small(group, 5, 3)
    key, opening = commit_key((1, 0, 1, 0), SECRET, CONTEXT, group)
    statement = dataclasses.replace(case.statement, key=key)
    witness = dataclasses.replace(case.witness, key=dataclasses.replace(case.witness.key, blindings=opening.blindings))
    with pytest.raises(WitnessError, match="commitment 1 does not open"):
        prove_encryption(statement, witness, group)
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(statement, forge_under(statement, witness, opening.packed, group), group)


def forge_under(
    statement: EncryptionStatement, witness: EncryptionWitness, packed: tuple[int, ...], group: Group
) -> bytes:
    """Prove with the bits of one key and the packed chunks of another."""
    (phase,), (body,) = witness.key.inner_products(statement.masks), statement.bodies.tolist()
    bits = [*witness.key.bits, *binary(5, 3), *error_bits(phase, 5 << 10, body, 4, 4, "")]
    blindings = (*witness.blindings, *witness.key.blindings)
    return argue(statement.bit_statement(), BitWitness(bits, (*witness.values, *packed), blindings), group)


def _word(array: Any, index: Any, by: int) -> Any:
    copy = array.copy()
    copy[index] += np.uint64(by)
    return copy


def _swap(items: Any, i: int = 0, j: int = 2) -> Any:
    order = list(range(len(items)))
    order[i], order[j] = j, i
    return items[order] if isinstance(items, np.ndarray) else tuple(items[k] for k in order)


@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param(lambda s, i=i, j=j: {"masks": _word(s.masks, (i, j), 1)}, id=f"mask word {i},{j}")
            for i in (0, 3, 5)
            for j in (0, 7, 19)
        ),
        *(pytest.param(lambda s, i=i: {"bodies": _word(s.bodies, i, 1)}, id=f"body {i}") for i in range(6)),
        pytest.param(lambda s: {"masks": _swap(s.masks), "bodies": _swap(s.bodies)}, id="ciphertexts swapped"),
        pytest.param(lambda s: {"masks": _swap(s.masks)}, id="masks swapped"),
        pytest.param(lambda s: {"bodies": _swap(s.bodies)}, id="bodies swapped"),
        pytest.param(lambda s: {"commitments": _swap(s.commitments)}, id="commitments reordered"),
        pytest.param(lambda s: {"commitments": (s.commitments[1], *s.commitments[1:])}, id="commitment repeated"),
        pytest.param(lambda s: {"widths": (4, 6, 5, 5, 5, 5)}, id="widths, same sum"),
        pytest.param(lambda s: {"scale_bits": 42}, id="scale"),
        pytest.param(
            lambda s: {"key": dataclasses.replace(s.key, commitments=s.commitments[:1])}, id="key commitments"
        ),
    ],
)
def test_every_field_of_the_statement(encryption: Case, group: Group, change: Any) -> None:
    statement = dataclasses.replace(encryption.statement, **change(encryption.statement))
    assert not first_challenges(statement) & first_challenges(encryption.statement)
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(statement, encryption.proof, group)


def test_the_noise_bound_is_bound(encryption: Case, group: Group) -> None:
    for noise_bits in (17, 19):
        statement = dataclasses.replace(encryption.statement, noise_bits=noise_bits)
        assert statement.bit_statement().binding != encryption.statement.bit_statement().binding
        with pytest.raises((EncryptionProofInvalid, ProofEncodingError)):
            verify_encryption(statement, encryption.proof, group)


@pytest.mark.parametrize("label", CONTEXT)
def test_every_context_value(encryption: Case, group: Group, label: str) -> None:
    context = {**CONTEXT, label: CONTEXT[label] + "0"}
    statement = dataclasses.replace(encryption.statement, context=context)
    assert not first_challenges(statement) & first_challenges(encryption.statement)
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(statement, encryption.proof, group)


def test_the_real_dimension(group: Group) -> None:
    rng = random.Random(3)
    key_bits, values = random_key(2048), tuple(rng.randrange(32) for _ in range(4))
    key, opening = commit_key(key_bits, SECRET, CONTEXT, group)
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    masks, bodies = encrypt(values, key_bits, 43)
    statement = EncryptionStatement(commitments, key, masks, bodies, (5,) * 4, 43, CONTEXT)
    proof = prove_encryption(statement, EncryptionWitness(values, blindings, opening), group)
    verify_encryption(statement, proof, group)
    assert len(key.commitments) == 9
    with pytest.raises(EncryptionProofInvalid):
        verify_encryption(dataclasses.replace(statement, bodies=_word(bodies, 3, 1)), proof, group)


def test_sizes_promised_for_the_service(group: Group) -> None:
    key = KeyCommitments(2048, (bytes(48),) * 9)
    for entries, size in ((64, 7_000), (256, 16_000)):
        masks, bodies = np.zeros((entries, 2048), dtype=np.uint64), np.zeros(entries, dtype=np.uint64)
        statement = EncryptionStatement((bytes(48),) * entries, key, masks, bodies, (5,) * entries, 43, CONTEXT)
        assert statement.bit_statement().parameters.proof_bytes < size
