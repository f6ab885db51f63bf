"""The argument itself: general relations, every shape of folding, secrecy of the messages, one shared final check."""

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import load_generators, load_group
from atomic_margin.zk.bits import prove as prove_module
from atomic_margin.zk.bits.challenges import ChallengeSequence
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.proof import BitProof
from atomic_margin.zk.bits.prove import argue, prove_bits
from atomic_margin.zk.bits.statement import BitStatement, DenseForms, LinearForm, Relation
from atomic_margin.zk.bits.verify import FinalCheck, gather, verify_bits
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import BitProofInvalid, StatementError, WitnessError
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove import nonces
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.vectors import plus, scale

from .conftest import CONTEXT, SECRET


def random_case(
    group: Group, bits: int, rounds: int, values: int, relations: int, seed: int
) -> tuple[BitStatement, BitWitness]:
    """Random sparse relations with large coefficients, their constants chosen so that they hold."""
    rng = random.Random(seed)
    secret_bits = [rng.randrange(2) for _ in range(bits)]
    secret_values = tuple(rng.randrange(-(2**60), 2**60) for _ in range(values))
    commitments, blindings = commit_values(secret_values, SECRET, CONTEXT, group)

    def form(length: int) -> LinearForm:
        indices = [rng.randrange(length) for _ in range(rng.randrange(length + 1))]
        return LinearForm(indices, [rng.randrange(-(2**64), 2**64) for _ in indices])

    made = []
    for _ in range(relations):
        on_bits, on_values = form(bits), form(values) if values else LinearForm((), ())
        made.append(Relation(on_bits, on_values, on_bits.evaluate(secret_bits) - on_values.evaluate(secret_values)))
    statement = BitStatement(
        "random", (("seed", str(seed).encode()),), commitments, tuple(made), BitParameters(bits, rounds)
    )
    return statement, BitWitness(secret_bits, secret_values, blindings)


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(1, 40),
    rounds=st.integers(0, 4),
    values=st.integers(0, 4),
    relations=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_any_relations_over_any_shape(bits: int, rounds: int, values: int, relations: int, seed: int) -> None:
    group = load_group("arkworks")
    statement, witness = random_case(group, bits, rounds, values, relations, seed)
    proof = prove_bits(statement, witness, group)
    assert len(proof) == statement.parameters.proof_bytes
    verify_bits(statement, proof, group)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), by=st.integers(1, ORDER - 1), which=st.integers(0, 2))
def test_a_relation_off_by_anything_is_refused(seed: int, by: int, which: int) -> None:
    group = load_group("arkworks")
    statement, witness = random_case(group, 9, 2, 3, 3, seed)
    relations = list(statement.relations)
    relations[which] = Relation(relations[which].bits, relations[which].values, relations[which].constant + by)
    false = BitStatement(
        statement.name, statement.binding, statement.commitments, tuple(relations), statement.parameters
    )
    with pytest.raises(WitnessError, match=f"relation {which} does not hold"):
        prove_bits(false, witness, group)
    with pytest.raises(BitProofInvalid):
        verify_bits(false, argue(false, witness, group), group)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_dense_forms_are_relations_in_another_spelling(seed: int) -> None:
    group, rng = load_group("arkworks"), random.Random(seed)
    sparse, witness = random_case(group, 12, 2, 2, 4, seed)
    first, words = rng.randrange(3), [(0, 3), (5, 1), (2, 7), (11, 1)]
    matrix = np.array([[rng.randrange(-(2**63), 2**63) for _ in words] for _ in range(2)], dtype=np.int64)
    relations = list(sparse.relations)
    for row, coefficients in enumerate(matrix.tolist(), first):
        old, indices, on_bits = relations[row], [], []
        for (start, width), coefficient in zip(words, coefficients, strict=True):
            indices += range(start, start + width)
            on_bits += [coefficient << t for t in range(width)]
        form = LinearForm((*old.bits.indices, *indices), (*old.bits.coefficients, *on_bits))
        added = LinearForm(indices, on_bits).evaluate(witness.bits)
        relations[row] = Relation(form, old.values, old.constant + added)
    constants = [relation.constant for relation in relations]
    dense = dataclasses.replace(
        sparse,
        relations=tuple(dataclasses.replace(r, constant=c) for r, c in zip(sparse.relations, constants, strict=True)),
        dense=(DenseForms(first, matrix, words),),
    )
    sparse = dataclasses.replace(sparse, relations=tuple(relations))
    rho = rng.randrange(ORDER)
    assert dense.batch(rho) == sparse.batch(rho)
    assert dense.differences(witness.bits, witness.values) == [0] * 4
    verify_bits(sparse, prove_bits(dense, witness, group), group)
    wrong = dataclasses.replace(dense, dense=(DenseForms(first, matrix + np.eye(2, 4, dtype=np.int64), words),))
    if any(wrong.differences(witness.bits, witness.values)):
        with pytest.raises(WitnessError, match="relation"):
            prove_bits(wrong, witness, group)
        with pytest.raises(BitProofInvalid):
            verify_bits(wrong, argue(wrong, witness, group), group)


@pytest.mark.parametrize(
    ("first", "words"), [(-1, [(0, 1)]), (1, [(0, 1)]), (0, [(3, 1)]), (0, [(2, 2)]), (0, [(-1, 1)]), (0, [])]
)
def test_dense_forms_stay_within_the_statement(first: int, words: list[tuple[int, int]]) -> None:
    relation = Relation(LinearForm((), ()), LinearForm((), ()), 0)
    forms = DenseForms(first, np.zeros((1, 1), dtype=np.int64), words)
    with pytest.raises(StatementError, match="dense forms"):
        BitStatement("x", (("x", b""),), (), (relation,), BitParameters(3, 0), (forms,))


@pytest.mark.parametrize("digit", [2, -1, ORDER - 1, pow(2, -1, ORDER), ORDER // 2])
def test_a_digit_that_is_not_a_bit_is_refused(group: Group, digit: int) -> None:
    # No relation constrains the digit: only the bit constraint can catch it.
    statement = BitStatement(
        "free", (("x", b""),), (), (Relation(LinearForm((0,), (0,)), LinearForm((), ()), 0),), BitParameters(3, 0)
    )
    witness = BitWitness([0, digit, 1], (), ())
    with pytest.raises(WitnessError, match="bit 1 is neither"):
        prove_bits(statement, witness, group)
    with pytest.raises(BitProofInvalid):
        verify_bits(statement, argue(statement, witness, group), group)


def test_backends_verify_each_other(group: Group) -> None:
    reference = load_group("reference")
    statement, witness = random_case(group, 6, 1, 2, 2, 5)
    verify_bits(statement, prove_bits(statement, witness, group), reference)
    verify_bits(statement, prove_bits(statement, witness, reference), group)


def test_backends_prove_the_same_bytes_from_the_same_nonces(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces.secrets, "token_bytes", bytes)
    statement, witness = random_case(group, 6, 1, 2, 2, 5)
    assert prove_bits(statement, witness, group) == prove_bits(statement, witness, load_group("reference"))


def test_two_proofs_of_one_statement_share_no_message(group: Group) -> None:
    statement, witness = random_case(group, 20, 2, 2, 2, 5)
    first, second = (BitProof.from_bytes(prove_bits(statement, witness, group), statement.parameters) for _ in "12")

    def parts(proof: BitProof) -> set[bytes]:
        lone = {proof.A, proof.S, proof.T1, proof.T2, proof.t_hat, proof.tau_x, proof.mu}
        return lone | {side for fold in proof.folds for side in fold} | set(proof.left + proof.right)

    assert not parts(first) & parts(second)


def test_a_stuck_random_generator_does_not_repeat_nonces_over_statements(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonces.secrets, "token_bytes", bytes)
    statement, witness = random_case(group, 20, 2, 2, 2, 5)
    for change in (
        {"binding": (("seed", b"6"),)},
        {"name": "other"},
    ):
        other = BitStatement(**{**vars(statement), **change})  # type: ignore[arg-type]
        proofs = [BitProof.from_bytes(prove_bits(s, witness, group), s.parameters) for s in (statement, other)]
        assert proofs[0].A != proofs[1].A
        assert proofs[0].S != proofs[1].S
    first, _ = commit_values((1, 2), SECRET, CONTEXT, group)
    second, _ = commit_values((1, 2), SECRET, {**CONTEXT, "submission": "4"}, group)
    third, _ = commit_values((1, 3), SECRET, CONTEXT, group)
    assert len({*first, *second, *third}) == 6


def test_blindings_are_fresh_for_every_commitment(group: Group) -> None:
    first, _ = commit_values((5, 5, 5), SECRET, CONTEXT, group)
    second, _ = commit_values((5, 5, 5), SECRET, CONTEXT, group)
    assert len({*first, *second}) == 6


def test_a_short_secret_is_refused(group: Group) -> None:
    with pytest.raises(WitnessError, match="31 bytes"):
        commit_values((1,), bytes(31), CONTEXT, group)


def test_a_witness_shows_nothing() -> None:
    assert "7" not in repr(BitWitness((0, 1), (7,), (77,)))


@pytest.mark.parametrize(
    "change",
    [{"bits": (0, 1)}, {"values": (1,)}, {"blindings": (1, 2, 3)}],
    ids=["bits", "values", "blindings"],
)
def test_counts_must_match(group: Group, change: dict[str, Any]) -> None:
    statement, witness = random_case(group, 6, 1, 2, 2, 5)
    with pytest.raises(WitnessError, match="6 bits, 2 values and 2 blindings"):
        prove_bits(statement, BitWitness(**{**vars(witness), **change}), group)


@pytest.mark.parametrize(
    "relation",
    [
        Relation(LinearForm((3,), (1,)), LinearForm((), ()), 0),
        Relation(LinearForm((-1,), (1,)), LinearForm((), ()), 0),
        Relation(LinearForm((0,), (1,)), LinearForm((0,), (1,)), 0),
    ],
)
def test_relations_stay_within_the_statement(relation: Relation) -> None:
    with pytest.raises(StatementError, match="relation 0"):
        BitStatement("x", (("x", b""),), (), (relation,), BitParameters(3, 0))


def test_a_statement_needs_a_relation_and_a_form_equal_lengths() -> None:
    with pytest.raises(StatementError, match="says nothing"):
        BitStatement("x", (("x", b""),), (), (), BitParameters(3, 0))
    with pytest.raises(StatementError, match="2 indices but 1"):
        LinearForm((0, 1), (1,))


def test_errors_that_cancel_between_the_two_equations_are_refused(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tau_x and mu are both one too large from before w on: under equal weights the two multiples of H cancel.
    def plus_one(data: bytes) -> bytes:
        return group.encode_scalar(group.decode_scalar(data) + group.scalar(1))

    class Shifted(ChallengeSequence):
        def after_evaluation(self, t_hat: bytes, tau_x: bytes, mu: bytes) -> int:
            return super().after_evaluation(t_hat, plus_one(tau_x), plus_one(mu))

    statement, witness = random_case(group, 9, 1, 2, 2, 5)
    with monkeypatch.context() as patch:
        patch.setattr(prove_module, "ChallengeSequence", Shifted)
        honest = BitProof.from_bytes(argue(statement, witness, group), statement.parameters)
    shifted = dataclasses.replace(honest, tau_x=plus_one(honest.tau_x), mu=plus_one(honest.mu)).to_bytes()
    with pytest.raises(BitProofInvalid):
        verify_bits(statement, shifted, group)
    # The forgery is a real one: only the weight stands against it.
    monkeypatch.setattr(ChallengeSequence, "after_tail", lambda *_: 1)
    verify_bits(statement, shifted, group)


def test_final_checks_of_many_proofs_can_be_added_up(group: Group) -> None:
    # What a batch verifier will do: weigh each check, add the generators' shares, multiply once.
    cases = [random_case(group, 12, 2, 2, 2, seed) for seed in range(3)]
    proofs = [prove_bits(statement, witness, group) for statement, witness in cases]

    def total(checks: list[FinalCheck], weights: list[int]) -> bool:
        generators = load_generators(group, 12)
        scalars, points = [], []
        left = right = group.scalars([0] * 12)
        for check, weight in zip(checks, group.scalars(weights), strict=True):
            left, right = plus(left, scale(check.left, weight)), plus(right, scale(check.right, weight))
            scalars += scale([check.value, check.blinding, *check.scalars], weight)
            points += [generators.value, generators.blinding, *check.points]
        result = group.msm([*generators.left, *generators.right, *points], [*left, *right, *scalars])
        return result == group.identity()

    checks = [gather(statement, proof, group) for (statement, _), proof in zip(cases, proofs, strict=True)]
    assert total(checks, [3, 5, 7])
    false, witness = random_case(group, 12, 2, 2, 2, 9)
    false = BitStatement(**{**vars(false), "binding": (("seed", b"other"),)})
    bad = argue(false, BitWitness([1 - bit for bit in witness.bits], witness.values, witness.blindings), group)
    assert not total([checks[0], gather(false, bad, group), checks[2]], [3, 5, 7])
