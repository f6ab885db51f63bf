"""Arguments in chunks: any shape, no false statement, every message bound, and what a known challenge would let in."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import load_generators, load_group
from atomic_margin.zk.bits import prove as prove_module
from atomic_margin.zk.bits.challenges import ChallengeSequence, VectorChallenges
from atomic_margin.zk.bits.chunks import JoinWeights
from atomic_margin.zk.bits.parameters import CHUNKS, MAX_BITS, ONE_CHUNK_BITS, BitParameters
from atomic_margin.zk.bits.proof import CHUNKS_VERSION, BitProof
from atomic_margin.zk.bits.prove import argue, prove_bits
from atomic_margin.zk.bits.statement import BitStatement, LinearForm, Relation
from atomic_margin.zk.bits.verify import verify_bits
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import BitProofInvalid, ProofEncodingError, StatementError
from atomic_margin.zk.generators import MAX_GENERATORS
from atomic_margin.zk.groups import ORDER, POINT_BYTES, SCALAR_BYTES, Group, Scalar
from atomic_margin.zk.prove import nonces
from atomic_margin.zk.prove.chunks import commit_bits, cross_terms

from .test_bit_argument import random_case

MESSAGES = ("A", "S", "K0", "K1", "T1")


def in_chunks(statement: BitStatement, rounds: int, chunks: int) -> BitStatement:
    return dataclasses.replace(statement, parameters=BitParameters(statement.parameters.bits, rounds, chunks))


def example(group: Group, chunks: int = 3) -> tuple[BitStatement, BitWitness]:
    statement, witness = random_case(group, 20, 0, 2, 3, 5)
    return in_chunks(statement, 1, chunks), witness


def components(parameters: BitParameters) -> Iterator[tuple[str, int, int]]:
    """Name, start and size of every component, in the order of the format."""
    names = [f"A{side}{chunk}" for chunk in range(parameters.chunks) for side in ("left", "right")]
    names += ["S", *(f"K{exponent}" for exponent in parameters.cross_exponents)]
    names += ["T1", "T2", "t_hat", "tau_x", "mu"]
    names += [f"{side}{k}" for k in range(parameters.rounds) for side in "LR"]
    names += [f"{side}[{k}]" for side in ("left", "right") for k in range(parameters.tail)]
    start = 1
    for name in names:
        size = POINT_BYTES if name[0] in "ASKTLR" else SCALAR_BYTES
        yield name, start, size
        start += size
    assert start == parameters.proof_bytes


def replaced(proof: bytes, start: int, data: bytes) -> bytes:
    return proof[:start] + data + proof[start + len(data) :]


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(6, 40),
    rounds=st.integers(0, 3),
    chunks=st.integers(2, 6),
    values=st.integers(0, 4),
    seed=st.integers(0, 2**32),
)
def test_any_relations_over_any_shape(bits: int, rounds: int, chunks: int, values: int, seed: int) -> None:
    group = load_group("arkworks")
    whole, witness = random_case(group, bits, rounds, values, 3, seed)
    statement = in_chunks(whole, rounds, chunks)
    proof = prove_bits(statement, witness, group)
    assert proof[0] == CHUNKS_VERSION
    assert len(proof) == statement.parameters.proof_bytes
    assert BitProof.from_bytes(proof, statement.parameters).to_bytes() == proof
    verify_bits(statement, proof, group)
    with pytest.raises(ProofEncodingError):
        verify_bits(whole, proof, group)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), by=st.integers(1, ORDER - 1), which=st.integers(0, 2))
def test_a_relation_off_by_anything_is_refused(seed: int, by: int, which: int) -> None:
    group = load_group("arkworks")
    statement, witness = random_case(group, 11, 1, 3, 3, seed)
    relations = list(statement.relations)
    relations[which] = dataclasses.replace(relations[which], constant=relations[which].constant + by)
    false = in_chunks(dataclasses.replace(statement, relations=tuple(relations)), 1, 3)
    with pytest.raises(BitProofInvalid):
        verify_bits(false, argue(false, witness, group), group)


@pytest.mark.parametrize("position", range(7))
@pytest.mark.parametrize("digit", [2, -1, ORDER - 1, pow(2, -1, ORDER)])
def test_a_digit_that_is_not_a_bit_is_refused_in_every_chunk(group: Group, position: int, digit: int) -> None:
    relation = Relation(LinearForm((0,), (0,)), LinearForm((), ()), 0)
    statement = BitStatement("free", (("x", b""),), (), (relation,), BitParameters(7, 0, 3))
    digits = [index % 2 for index in range(7)]
    verify_bits(statement, argue(statement, BitWitness(digits, (), ()), group), group)
    digits[position] = digit
    with pytest.raises(BitProofInvalid):
        verify_bits(statement, argue(statement, BitWitness(digits, (), ()), group), group)


def test_backends_prove_the_same_bytes_and_verify_each_other(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces.secrets, "token_bytes", bytes)
    reference = load_group("reference")
    statement, witness = random_case(group, 6, 0, 2, 2, 5)
    statement = in_chunks(statement, 1, 2)
    proof = prove_bits(statement, witness, group)
    assert prove_bits(statement, witness, reference) == proof
    verify_bits(statement, proof, reference)


def test_whatever_is_changed_is_refused(group: Group) -> None:
    statement, witness = example(group)
    proof = prove_bits(statement, witness, group)
    other = group.encode_point(group.hash_to_point(b"other", b"test"))
    layout = list(components(statement.parameters))
    for _, start, size in layout:
        if size == POINT_BYTES:
            for data in (bytes([proof[start] ^ 0x20]), other):
                with pytest.raises(BitProofInvalid):
                    verify_bits(statement, replaced(proof, start, data), group)
            for data in (bytes([0xC0]) + bytes(47), bytes([0x80]) + bytes(46) + b"\x04", b"\xff" * 48):
                with pytest.raises(ProofEncodingError, match="proof component"):
                    verify_bits(statement, replaced(proof, start, data), group)
        else:
            value = int.from_bytes(proof[start : start + size], "big")
            with pytest.raises(BitProofInvalid):
                verify_bits(statement, replaced(proof, start, ((value + 1) % ORDER).to_bytes(size, "big")), group)
            with pytest.raises(ProofEncodingError, match="below the group order"):
                verify_bits(statement, replaced(proof, start, ORDER.to_bytes(size, "big")), group)
    points = [start for _, start, size in layout if size == POINT_BYTES]
    for first, second in itertools.combinations(points, 2):
        swapped = replaced(proof, first, proof[second : second + POINT_BYTES])
        swapped = replaced(swapped, second, proof[first : first + POINT_BYTES])
        with pytest.raises(BitProofInvalid):
            verify_bits(statement, swapped, group)


def test_lengths_and_versions(group: Group) -> None:
    statement, witness = example(group)
    proof = prove_bits(statement, witness, group)
    for changed in (b"", proof[:-1], proof + b"\x00", proof * 2):
        with pytest.raises(ProofEncodingError, match=f"got {len(changed)}$"):
            verify_bits(statement, changed, group)
    for version in (0, 3, 5, 255):
        with pytest.raises(ProofEncodingError, match=f"version {version} is unknown; this release reads 4"):
            verify_bits(statement, bytes([version]) + proof[1:], group)


def all_challenges(statement: BitStatement, messages: dict[str, bytes]) -> list[int]:
    sequence = ChallengeSequence(statement)
    return [
        *sequence.after_vectors(messages["A"], messages["S"]),
        sequence.after_crosses([messages["K0"], messages["K1"]]),
        sequence.after_quadratic(messages["T1"], b"T2"),
    ]


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_changes_the_challenges_after_it_and_none_before(group: Group, name: str) -> None:
    statement, _ = example(group)
    messages = {label: label.encode() for label in MESSAGES}
    before = all_challenges(statement, messages)
    after = all_challenges(statement, {**messages, name: b"another"})
    first = {"A": 0, "S": 0, "K0": 3, "K1": 3, "T1": 4}[name]
    assert before[:first] == after[:first]
    assert not set(before[first:]) & set(after[first:])


def test_shapes_share_no_challenge(group: Group) -> None:
    statement, witness = example(group)
    messages = {label: label.encode() for label in MESSAGES}
    # Three and six chunks, and one and two, have the same numbers of bits, of bits with padding and of rounds.
    shapes = [(1, 3), (1, 6), (1, 2), (1, 1), (0, 3), (2, 4), (2, 1)]
    found = [all_challenges(in_chunks(statement, *shape), messages) for shape in shapes]
    assert len({challenge for challenges in found for challenge in challenges}) == 5 * len(shapes)
    proof = prove_bits(statement, witness, group)
    for shape in shapes[1:]:
        with pytest.raises((BitProofInvalid, ProofEncodingError)):
            verify_bits(in_chunks(statement, *shape), proof, group)


@pytest.mark.parametrize("chunks", [2, 3, 5])
def test_only_the_cross_terms_before_the_challenge_stand_against_a_false_sum(
    group: Group, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    """Whoever knew the joining challenge could put what the sum lacks into a cross term."""
    statement, witness = example(group, chunks)
    first = statement.relations[0]
    false = dataclasses.replace(
        statement, relations=(dataclasses.replace(first, constant=first.constant + 1), *statement.relations[1:])
    )
    guessed = group.scalar(12345)
    seen: list[VectorChallenges] = []

    class Watched(ChallengeSequence):
        def after_vectors(self, A: bytes, S: bytes) -> VectorChallenges:
            seen.append(super().after_vectors(A, S))
            return seen[-1]

    def shifted(group: Group, left: Sequence[Scalar], right: Sequence[Scalar], sizes: BitParameters) -> list[Scalar]:
        z = group.scalar(seen[-1].z)
        terms = cross_terms(group, left, right, sizes)
        # The claim has one more, times z^2, than the vectors: the term at X makes up for it at the guess.
        return [terms[0] - z * z * group.invert(guessed), *terms[1:]]

    monkeypatch.setattr(prove_module, "ChallengeSequence", Watched)
    monkeypatch.setattr(prove_module, "cross_terms", shifted)
    with pytest.raises(BitProofInvalid):
        verify_bits(false, argue(false, witness, group), group)
    # The forgery is a real one: with a challenge that does not answer the cross terms it is believed.
    monkeypatch.setattr(ChallengeSequence, "after_crosses", lambda *_: 12345)
    verify_bits(false, argue(false, witness, group), group)


def test_every_part_has_a_power_of_its_own(group: Group) -> None:
    for chunks in (2, 3, 20, 32):
        weights = JoinWeights.of(group, group.scalar(7), chunks)
        powers = [*map(group.integer, (*weights.left, *weights.right))]
        assert powers == [
            *(pow(7, exponent, ORDER) for exponent in range(1, chunks + 1)),
            *(pow(7, -exponent, ORDER) for exponent in range(1, chunks + 1)),
        ]
        crosses = [pow(7, exponent, ORDER) for exponent in BitParameters(chunks, 0, chunks).cross_exponents]
        assert [*map(group.integer, weights.crosses)] == crosses


def test_two_proofs_of_one_statement_share_no_message(group: Group) -> None:
    statement, witness = example(group)
    proofs = [prove_bits(statement, witness, group) for _ in range(2)]
    parts = [{proof[start : start + size] for _, start, size in components(statement.parameters)} for proof in proofs]
    assert not parts[0] & parts[1]
    assert len(parts[0]) == len(list(components(statement.parameters)))


@settings(max_examples=20, deadline=None)
@given(bits=st.lists(st.integers(0, 1), min_size=1, max_size=40))
def test_sums_of_generators_are_their_multiplications(bits: list[int]) -> None:
    group = load_group("arkworks")
    generators = load_generators(group, len(bits))
    blinding = group.scalar(77)
    multiplied = group.msm(
        [*generators.left, *generators.right, generators.blinding],
        [*group.scalars(bits), *group.scalars(bit - 1 for bit in bits), blinding],
    )
    assert commit_bits(group, generators, bits, [blinding]) == group.encode_point(multiplied)
    two = commit_bits(group, generators, bits, group.scalars([1, 2]))
    left = group.msm([*generators.left, generators.blinding], group.scalars([*bits, 1]))
    right = group.msm([*generators.right, generators.blinding], group.scalars([*(bit - 1 for bit in bits), 2]))
    assert two == group.encode_point(left) + group.encode_point(right)


@pytest.mark.parametrize(
    ("bits", "rounds", "chunks", "said"),
    [
        (40, 0, 0, "not committed to in 0 chunks"),
        (40, 0, 33, "not committed to in 33 chunks"),
        (3, 0, 4, "not committed to in 4 chunks"),
        (MAX_BITS + 1, 6, 20, "1 to 262144 bits"),
        (MAX_GENERATORS * 2 + 1, 0, 2, "in 2 chunks cannot be folded 0 times"),
        (40, 13, 2, "in 2 chunks cannot be folded 13 times"),
    ],
)
def test_shapes_have_limits(bits: int, rounds: int, chunks: int, said: str) -> None:
    with pytest.raises(StatementError, match=said):
        BitParameters(bits, rounds, chunks)


def test_shapes_follow_from_the_number_of_bits() -> None:
    assert BitParameters.for_bits(ONE_CHUNK_BITS).chunks == 1
    for bits in (ONE_CHUNK_BITS + 1, *range(17_000, MAX_BITS, 4_999), MAX_BITS):
        parameters = BitParameters.for_bits(bits)
        assert parameters.chunks == CHUNKS
        assert bits <= parameters.padded < bits + (CHUNKS << parameters.rounds)
        assert parameters.length <= MAX_GENERATORS
        assert parameters.proof_bytes < 65_536
    with pytest.raises(StatementError):
        BitParameters.for_bits(MAX_BITS + 1)
