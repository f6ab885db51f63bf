"""A decryption proof exists exactly when the ciphertexts decrypt to the claimed values under the committed key."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from atomic_margin.zk import DecryptionStatement, KeyCommitments, load_group, verify_decryption
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import DecryptionProofInvalid, ProofEncodingError, StatementError, WitnessError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.pinned import VALUE_BASE
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.key import commit_key
from atomic_margin.zk.prove.lwe import error_bits
from atomic_margin.zk.statements.decryption import joined

from .ciphertexts import encrypt, random_key
from .conftest import CONTEXT, KEY, SECRET, Case
from .kinds import first_challenges


def forge(statement: DecryptionStatement, case: Case, group: Group) -> bytes:
    """Claim other values over the bits of an honest proof."""
    honest, opening = case.statement, case.witness
    bits = list(opening.bits)
    phases = opening.inner_products(honest.masks)
    for value, phase, body in zip(honest.values, phases, honest.bodies.tolist(), strict=True):
        bits += error_bits(phase, value << 62, body, 60, honest.key.dimension, "")
    return argue(statement.bit_statement(), BitWitness(bits, opening.packed, opening.blindings), group)


def test_an_honest_proof_verifies_on_both_backends(decryption: Case, backend: Group) -> None:
    verify_decryption(decryption.statement, decryption.proof, backend)


def test_the_reference_backend_proves_for_the_fast_one(decryption: Case, group: Group) -> None:
    statement = dataclasses.replace(
        decryption.statement,
        masks=decryption.statement.masks[:1],
        bodies=decryption.statement.bodies[:1],
        values=(1,),
        noise_bits=60,
    )
    proof = prove_decryption(statement, decryption.witness, load_group("reference"))
    verify_decryption(statement, proof, group)


@pytest.mark.parametrize("values", [(0, 0), (1, 1), (0, 1)])
def test_a_wrong_flag_is_refused(decryption: Case, group: Group, values: tuple[int, ...]) -> None:
    wrong = dataclasses.replace(decryption.statement, values=values)
    assert not first_challenges(wrong) & first_challenges(decryption.statement)
    with pytest.raises(WitnessError, match="error of ciphertext"):
        prove_decryption(wrong, decryption.witness, group)
    for proof in (decryption.proof, forge(wrong, decryption, group)):
        with pytest.raises(DecryptionProofInvalid):
            verify_decryption(wrong, proof, group)


@pytest.mark.parametrize("error", [2**60, -(2**60) - 1, 2**61, 2**62 - 1, -(2**62), 2**63 - 1])
def test_an_error_out_of_range_is_refused(decryption: Case, group: Group, error: int) -> None:
    masks, bodies = encrypt((1, 0), KEY, 62, errors=(error, 0))
    statement = dataclasses.replace(decryption.statement, masks=masks, bodies=bodies)
    with pytest.raises(WitnessError, match="error of ciphertext 0"):
        prove_decryption(statement, decryption.witness, group)
    with pytest.raises(DecryptionProofInvalid):
        verify_decryption(statement, forge(statement, decryption, group), group)


def test_values_of_several_bits_in_one_ciphertext_or_one_per_bit(decryption: Case, group: Group) -> None:
    shortfall = 0b1011001
    masks, bodies = encrypt((shortfall,), KEY, 55, errors=(-(2**53),))
    whole = DecryptionStatement(
        decryption.statement.key, masks, bodies, (shortfall,), CONTEXT, value_bits=8, scale_bits=55, noise_bits=53
    )
    verify_decryption(whole, prove_decryption(whole, decryption.witness, group), group)
    with pytest.raises(WitnessError, match="ciphertext 0"):
        prove_decryption(dataclasses.replace(whole, values=(shortfall + 1,)), decryption.witness, group)

    bits = tuple(shortfall >> t & 1 for t in range(7))
    masks, bodies = encrypt(bits, KEY, 62)
    single = DecryptionStatement(decryption.statement.key, masks, bodies, bits, CONTEXT)
    proof = prove_decryption(single, decryption.witness, group)
    verify_decryption(single, proof, group)
    assert joined(single.values) == shortfall
    with pytest.raises(DecryptionProofInvalid):
        verify_decryption(dataclasses.replace(single, values=(*bits[1:], bits[0])), proof, group)


@pytest.mark.parametrize("dimension", [2048, 8192])
def test_real_dimensions(group: Group, dimension: int) -> None:
    bits = random_key(dimension)
    key, opening = commit_key(bits, SECRET, CONTEXT, group)
    statement = DecryptionStatement(key, *encrypt((1,), bits, 62, errors=(2**49,)), (1,), CONTEXT)
    proof = prove_decryption(statement, opening, group)
    verify_decryption(statement, proof, group)
    assert len(proof) < {2048: 5_300, 8192: 8_500}[dimension]


def test_another_key_is_refused(decryption: Case, group: Group) -> None:
    other, opening = commit_key(random_key(20, seed=5), SECRET, CONTEXT, group)
    statement = dataclasses.replace(decryption.statement, key=other)
    with pytest.raises(WitnessError):
        prove_decryption(statement, opening, group)
    with pytest.raises(DecryptionProofInvalid):
        verify_decryption(statement, decryption.proof, group)
    with pytest.raises(WitnessError, match="dimension 20, this key has 3 bits"):
        prove_decryption(statement, commit_key((1, 0, 1), SECRET, CONTEXT, group)[1], group)


def _plus(array: Any, index: Any) -> Any:
    copy = array.copy()
    copy[index] += np.uint64(1)
    return copy


@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param(lambda s, i=i, j=j: {"masks": _plus(s.masks, (i, j))}, id=f"mask word {i},{j}")
            for i in (0, 1)
            for j in (0, 11, 19)
        ),
        *(pytest.param(lambda s, i=i: {"bodies": _plus(s.bodies, i)}, id=f"body {i}") for i in (0, 1)),
        pytest.param(
            lambda s: {"masks": s.masks[::-1], "bodies": s.bodies[::-1], "values": s.values[::-1]}, id="order"
        ),
        pytest.param(lambda s: {"value_bits": 2}, id="value bits"),
        pytest.param(lambda s: {"scale_bits": 61}, id="scale"),
        pytest.param(lambda s: {"key": KeyCommitments(20, (bytes.fromhex(VALUE_BASE),))}, id="key"),
    ],
)
def test_every_field_of_the_statement(decryption: Case, group: Group, change: Any) -> None:
    statement = dataclasses.replace(decryption.statement, **change(decryption.statement))
    assert not first_challenges(statement) & first_challenges(decryption.statement)
    with pytest.raises(DecryptionProofInvalid):
        verify_decryption(statement, decryption.proof, group)


def test_the_noise_bound_is_bound(decryption: Case, group: Group) -> None:
    for noise_bits in (59, 61):
        statement = dataclasses.replace(decryption.statement, noise_bits=noise_bits)
        assert statement.bit_statement().binding != decryption.statement.bit_statement().binding
        with pytest.raises((DecryptionProofInvalid, ProofEncodingError)):
            verify_decryption(statement, decryption.proof, group)


@pytest.mark.parametrize("label", CONTEXT)
def test_every_context_value(decryption: Case, group: Group, label: str) -> None:
    context = {**CONTEXT, label: CONTEXT[label] + "0"}
    statement = dataclasses.replace(decryption.statement, context=context)
    assert not first_challenges(statement) & first_challenges(decryption.statement)
    with pytest.raises(DecryptionProofInvalid):
        verify_decryption(statement, decryption.proof, group)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": ()}, "0 values"),
        ({"values": (2,)}, r"values\[0\]"),
        ({"values": (-1,)}, r"values\[0\]"),
        ({"values": (True,)}, "is an int here"),
        ({"value_bits": 0}, "value_bits"),
        ({"value_bits": 3}, "does not fit 64 bits"),
        ({"noise_bits": 62}, "opened to two messages"),
        ({"masks": np.zeros((1, 3), dtype=np.uint64)}, "the key has dimension 4"),
        ({"context": {"run": 1}}, "labels and values"),
    ],
)
def test_statements_outside_the_limits_cannot_be_made(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {
        "key": KeyCommitments(4, (bytes(48),)),
        "masks": np.zeros((1, 4), dtype=np.uint64),
        "bodies": np.zeros(1, dtype=np.uint64),
        "values": (1,),
        "context": {"run": "1"},
    }
    DecryptionStatement(**fields)
    with pytest.raises(StatementError, match=message):
        DecryptionStatement(**{**fields, **change})
