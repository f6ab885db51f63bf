"""Random and structured bytes against every parser of proofs and commitments: a named error, or the honest proof.

Brief by default; ``ATOMIC_MARGIN_FUZZ=100000`` runs so many examples of each.
"""

import dataclasses
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atomic_margin.zk import BatchInvalid, KeyCommitments, load_group, verify_batch
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.proof import CHUNKS_VERSION, PROOF_VERSION, BitProof
from atomic_margin.zk.choice import ChoiceProof, choice_bytes
from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.errors import PointEncodingError, ProofEncodingError, ProofError, StatementError
from atomic_margin.zk.groups import ORDER, Group

from .conftest import Case
from .kinds import KINDS, components

BACKENDS = [load_group("arkworks"), load_group("reference")]

brief = settings(
    max_examples=int(os.environ.get("ATOMIC_MARGIN_FUZZ", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Encodings a parser might stumble over: infinities, p and its neighbours, r and its neighbours, missing flags.
FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
POINTS = [bytes([flags << 5]) + bytes(47) for flags in range(8)] + [
    ((flags << 381) + x).to_bytes(48, "big") for flags in range(8) for x in (1, 4, FIELD - 1, FIELD, FIELD + 1)
]
SCALARS = [x.to_bytes(32, "big") for x in (0, 1, ORDER - 1, ORDER, ORDER + 1, 2**255, 2**256 - 1)]


@st.composite
def mutated(draw: st.DrawFn, proof: bytes, layout: list[tuple[str, int, int]]) -> bytes:
    """The honest proof with a few edits: bits flipped, components exchanged or replaced, bytes cut or added."""
    data = proof
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["flip", "component", "swap", "cut", "grow", "splice"])):
            case "flip" if data:
                position = draw(st.integers(0, len(data) - 1))
                data = data[:position] + bytes([data[position] ^ draw(st.integers(1, 255))]) + data[position + 1 :]
            case "component":
                name, start, size = draw(st.sampled_from(layout))
                known = POINTS if name.startswith("p ") else SCALARS if name.startswith("s ") else [b"\x00"]
                new = draw(st.sampled_from(known) | st.binary(min_size=size, max_size=size))
                data = data[:start] + new + data[start + size :]
            case "swap":
                (_, first, size), (_, second, _) = draw(st.sampled_from(layout)), draw(st.sampled_from(layout))
                data = data[:first] + data[second : second + size] + data[first + size :]
            case "cut" if data:
                data = data[: draw(st.integers(0, len(data) - 1))]
            case "grow":
                data += draw(st.binary(max_size=64))
            case _:
                data = data[: len(data) // 2] + draw(st.binary(max_size=200)) + data[len(data) // 2 :]
    return data


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
@brief
@given(data=st.data())
def test_mutated_proofs(name: str, group: Group, request: pytest.FixtureRequest, data: st.DataObject) -> None:
    case: Case = request.getfixturevalue(name)
    proof = data.draw(mutated(case.proof, components(case.statement)))
    if proof == case.proof:
        KINDS[name].verify(case.statement, proof, group)
        return
    with pytest.raises((ProofEncodingError, KINDS[name].invalid)):
        KINDS[name].verify(case.statement, proof, group)
    with pytest.raises(BatchInvalid) as caught:
        verify_batch([(case.statement, case.proof), (case.statement, proof)], group)
    assert list(caught.value.culprits) == [1]


@pytest.mark.parametrize("name", KINDS)
@brief
@given(data=st.binary(max_size=4000))
def test_random_bytes(name: str, group: Group, request: pytest.FixtureRequest, data: bytes) -> None:
    case: Case = request.getfixturevalue(name)
    with pytest.raises(ProofError):
        KINDS[name].verify(case.statement, data, group)


@brief
@given(data=st.binary(max_size=3000), bits=st.integers(1, 70), chunks=st.sampled_from([1, 1, 2, 5, 20]))
def test_the_bit_proof_parser(data: bytes, bits: int, chunks: int) -> None:
    parameters = dataclasses.replace(BitParameters.for_bits(bits), chunks=min(bits, chunks))
    try:
        proof = BitProof.from_bytes(data, parameters)
    except ProofEncodingError:
        version = bytes([PROOF_VERSION if parameters.chunks == 1 else CHUNKS_VERSION])
        padded = (version + data + bytes(parameters.proof_bytes))[: parameters.proof_bytes]
        proof = BitProof.from_bytes(padded, parameters)
        assert proof.to_bytes() == padded
    else:
        assert proof.to_bytes() == data


@brief
@given(data=st.binary(max_size=3000), rows=st.integers(1, 20))
def test_the_choice_parser(data: bytes, rows: int) -> None:
    padded = (data + bytes(choice_bytes(rows)))[: choice_bytes(rows)]
    assert ChoiceProof.from_bytes(padded, rows).to_bytes() == padded
    if len(data) != choice_bytes(rows):
        with pytest.raises(ProofEncodingError):
            ChoiceProof.from_bytes(data, rows)


@brief
@given(
    data=st.lists(st.binary(max_size=60) | st.binary(min_size=48, max_size=48) | st.sampled_from(POINTS), max_size=4)
)
def test_the_commitment_parser(data: list[bytes]) -> None:
    _both_backends_agree(data)


def test_the_commitment_parser_at_the_edges() -> None:
    _both_backends_agree(POINTS)


def _both_backends_agree(data: list[bytes]) -> None:
    for item in data:
        outcomes = []
        for group in BACKENDS:
            try:
                outcomes.append(group.encode_point(decode_commitments(group, [item])[0]))
            except PointEncodingError:
                outcomes.append(None)
        # Both backends agree, and what is accepted is the one encoding of its point.
        assert outcomes in ([None, None], [item, item])


@brief
@given(
    dimension=st.integers(-3, 9000) | st.sampled_from([0, 1, 248, 249, 8192, 8193, 10**30]),
    commitments=st.lists(st.binary(max_size=50) | st.just(bytes(48)), max_size=40),
)
def test_key_commitments_from_outside(dimension: int, commitments: list[bytes]) -> None:
    try:
        key = KeyCommitments(dimension, tuple(commitments))
    except StatementError:
        return
    assert 1 <= dimension <= 8192
    assert len(key.commitments) == -(-dimension // 248)
    assert all(len(point) == 48 for point in key.commitments)


@pytest.mark.long
@pytest.mark.parametrize("name", ["encryption", "decryption"])
@brief
@given(data=st.data())
def test_changed_words(name: str, group: Group, request: pytest.FixtureRequest, data: st.DataObject) -> None:
    case: Case = request.getfixturevalue(name)
    masks, bodies = case.statement.masks.copy(), case.statement.bodies.copy()
    word = data.draw(st.integers(1, 2**64 - 1))
    row, column = data.draw(st.integers(0, len(bodies) - 1)), data.draw(st.integers(0, masks.shape[1]))
    target: Any = bodies[row : row + 1] if column == masks.shape[1] else masks[row, column : column + 1]
    target ^= np.uint64(word)
    statement = dataclasses.replace(case.statement, masks=masks, bodies=bodies)
    with pytest.raises(KINDS[name].invalid):
        KINDS[name].verify(statement, case.proof, group)
