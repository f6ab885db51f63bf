"""A breach proof exists exactly when some row is negative, and does not say which."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import BreachStatement, load_group, verify_breach
from atomic_margin.zk.bits.proof import PROOF_VERSION
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.choice import ChoiceProof, choice_bytes, choice_challenge
from atomic_margin.zk.errors import BreachProofInvalid, ProofEncodingError, StatementError, WitnessError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.breach import argue_breach, prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.prove.witness import BreachWitness, binary
from atomic_margin.zk.statements import checks
from atomic_margin.zk.verify import breach as module

from .conftest import CONTEXT, SECRET, VALUES, Case, windows

SURPLUSES = (11, -9, 1)


def make(group: Group, values: tuple[int, ...], rows: list[list[int]], offsets: tuple[int, ...], bits: int) -> Case:
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = BreachStatement(commitments, np.array(rows, dtype=np.int64), offsets, bits, CONTEXT)
    return Case(statement, BreachWitness(values, blindings), b"")


def test_an_honest_proof_verifies_on_both_backends(breach: Case, backend: Group) -> None:
    verify_breach(breach.statement, breach.proof, backend)


def test_the_reference_backend_proves_for_the_fast_one(group: Group) -> None:
    reference = load_group("reference")
    case = make(reference, (3, 2), [[1, -1], [-2, 1]], (0, 3), 2)
    verify_breach(case.statement, prove_breach(case.statement, case.witness, reference), group)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_is_breached_can_be_proved_and_nothing_else(data: st.DataObject) -> None:
    group = load_group("arkworks")
    entries, rows = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    values = tuple(data.draw(st.lists(st.integers(0, 31), min_size=entries, max_size=entries)))
    row = st.lists(st.integers(-(2**40), 2**40) | st.integers(-9, 9), min_size=entries, max_size=entries)
    weights = np.array(data.draw(st.lists(row, min_size=rows, max_size=rows)), dtype=np.int64)
    bits = data.draw(st.integers(1, 40))
    wanted = [data.draw(st.sampled_from([-(2**bits) - 1, -(2**bits), -1, 0, 1, 2**bits])) for _ in range(rows)]
    profits = [sum(int(w) * z for w, z in zip(line, values, strict=True)) for line in weights]
    offsets = tuple(target - profit for target, profit in zip(wanted, profits, strict=True))
    case = make(group, values, weights.tolist(), offsets, bits)
    if any(-(2**bits) <= surplus < 0 for surplus in wanted):
        verify_breach(case.statement, prove_breach(case.statement, case.witness, group), group)
    else:
        with pytest.raises(WitnessError, match=r"no row is negative|takes more than"):
            prove_breach(case.statement, case.witness, group)


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_that_is_not_negative_claimed_breached_is_refused(breach: Case, group: Group, row: int) -> None:
    # An honest choice of the row, and bits that cannot be right.
    proof = argue_breach(breach.statement, breach.witness, SURPLUSES, row, group)
    with pytest.raises(BreachProofInvalid):
        verify_breach(breach.statement, proof, group)


def test_zero_is_not_negative(group: Group) -> None:
    case = make(group, (3,), [[-1]], (3,), 4)
    with pytest.raises(WitnessError, match="no row is negative"):
        prove_breach(case.statement, case.witness, group)
    with pytest.raises(BreachProofInvalid):
        verify_breach(case.statement, argue_breach(case.statement, case.witness, (0,), 0, group), group)


def test_a_commitment_to_a_number_that_is_no_row_is_refused(breach: Case, group: Group) -> None:
    # W = -9 belongs to row 1 alone: claimed for row 0 or 2, or -8 or -10 claimed for row 1, the choice fails.
    for row, surpluses in ((0, (-9, -9, 1)), (2, (11, -9, -9)), (1, (11, -8, 1)), (1, (11, -10, 1))):
        proof = argue_breach(breach.statement, breach.witness, surpluses, row, group)
        with pytest.raises(BreachProofInvalid):
            verify_breach(breach.statement, proof, group)


def test_the_bits_of_another_commitment_are_refused(breach: Case, group: Group) -> None:
    # Both halves hold, each about a W of its own.
    first = argue_breach(breach.statement, breach.witness, SURPLUSES, 1, group)
    second = argue_breach(breach.statement, breach.witness, SURPLUSES, 1, group)
    cut = 1 + choice_bytes(3)
    for proof in (first[:cut] + second[cut:], second[:49] + first[49:]):
        with pytest.raises(BreachProofInvalid):
            verify_breach(breach.statement, proof, group)


def test_a_choice_without_a_bit_proof_is_refused(breach: Case, group: Group) -> None:
    # Row 0 is +11; the bits are those of 5, with digits that are not bits to make up the difference.
    statement = breach.statement
    honest = argue_breach(statement, breach.witness, SURPLUSES, 0, group)
    cut = 1 + choice_bytes(3)
    choice = honest[1:cut]
    for digits in ([-12, *[0] * 9], binary(ORDER - 12, 10), [0] * 10):
        bits = argue(statement.bit_statement(choice[:48], choice), BitWitness(digits, (11,), (1,)), group)
        with pytest.raises(BreachProofInvalid):
            verify_breach(statement, honest[:cut] + bits, group)


def scalars(numbers: Sequence[int]) -> tuple[bytes, ...]:
    return tuple((number % ORDER).to_bytes(32, "big") for number in numbers)


def test_all_shares_chosen_by_the_prover_are_refused(
    breach: Case, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every row simulated: any W passes the equations of the rows, but the shares do not add up to the challenge.
    generators = load_generators(group, 0)
    bases = [generators.value, generators.blinding]
    W = group.encode_point(group.msm(bases, group.scalars((-5, 77))))
    shares, responses, announcements = (3, 4, 5), (6, 7, 8), []
    for e, z, surplus, line in zip(shares, responses, SURPLUSES, breach.statement.weights.tolist(), strict=True):
        gamma = sum(w * g for w, g in zip(line, breach.witness.blindings, strict=True))
        opening = group.scalars((-e * (-5 - surplus), z - e * (77 - gamma)))
        announcements.append(group.encode_point(group.msm(bases, opening)))
    choice = ChoiceProof(W, tuple(announcements), scalars(shares[:-1]), scalars(responses)).to_bytes()
    bits = argue(breach.statement.bit_statement(W, choice), BitWitness(binary(4, 10), (-5,), (77,)), group)
    forged = bytes([PROOF_VERSION]) + choice + bits
    with pytest.raises(BreachProofInvalid):
        verify_breach(breach.statement, forged, group)
    # The forgery is a real one: it passes once the last share is not tied to the challenge.
    monkeypatch.setattr(module, "last_share", lambda *_: 5)
    verify_breach(breach.statement, forged, group)


def test_rows_whose_errors_cancel_are_refused(breach: Case, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two responses off by 1 and -1; the bit proof is made afterwards and holds.
    with monkeypatch.context() as patch:
        patch.setattr(NonceStream, "integer", lambda _: 77)
        honest = argue_breach(breach.statement, breach.witness, SURPLUSES, 1, group)
    choice = ChoiceProof.from_bytes(honest[1 : 1 + choice_bytes(3)], 3)
    first, second, third = (int.from_bytes(z, "big") for z in choice.responses)
    shifted = dataclasses.replace(choice, responses=scalars((first + 1, second - 1, third))).to_bytes()
    bits = breach.statement.bit_statement(choice.W, shifted)
    forged = bytes([PROOF_VERSION]) + shifted + argue(bits, BitWitness(binary(8, 10), (-9,), (77,)), group)
    with pytest.raises(BreachProofInvalid):
        verify_breach(breach.statement, forged, group)
    # A real pair: under equal weights the errors cancel.
    monkeypatch.setattr(module, "powers", lambda group, _, count: [group.scalar(1)] * count)
    verify_breach(breach.statement, forged, group)


def test_the_weights_of_the_rows_depend_on_the_fingerprint() -> None:
    assert len({module.row_challenge(fingerprint) for fingerprint in (b"1", b"2", b"")}) == 3


def test_zero_shares_are_refused(breach: Case, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    start = 1 + 48 * 4
    proof = breach.proof[:start] + bytes(32) + breach.proof[start + 32 :]
    with pytest.raises(BreachProofInvalid, match="share of the challenge is zero"):
        verify_breach(breach.statement, proof, group)
    monkeypatch.setattr(module, "last_share", lambda *_: 0)
    with pytest.raises(BreachProofInvalid, match="share of the challenge is zero"):
        verify_breach(breach.statement, breach.proof, group)


def test_the_proof_hides_the_row(group: Group) -> None:
    # Every row is negative: proofs of each have the same form, and no part of one is in another.
    case = make(group, (3, 2), [[-1, 0], [0, -1], [-1, -1]], (0, 0, 0), 4)
    proofs = [argue_breach(case.statement, case.witness, (-3, -2, -5), row, group) for row in range(3)]
    for proof in proofs:
        verify_breach(case.statement, proof, group)
    assert len({len(proof) for proof in proofs}) == 1
    parts = [windows(proof) for proof in proofs]
    assert not parts[0] & parts[1]
    assert not parts[1] & parts[2]
    assert not parts[0] & parts[2]


def test_if_several_rows_are_negative_any_may_be_shown(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make(group, (3, 2), [[-1, 0], [1, 1], [-1, -1]], (0, 0, 0), 2)
    seen: list[list[int]] = []
    monkeypatch.setattr("secrets.choice", lambda rows: seen.append(rows) or rows[0])
    verify_breach(case.statement, prove_breach(case.statement, case.witness, group), group)
    # Row 2 is -5 and does not fit two bits.
    assert seen == [[0]]


def test_openings_are_checked(breach: Case, group: Group) -> None:
    witness = BreachWitness(VALUES, breach.witness.blindings[::-1])
    with pytest.raises(WitnessError, match="does not open"):
        prove_breach(breach.statement, witness, group)


def _plus(weights: Any, row: int, entry: int) -> Any:
    copy = weights.copy()
    copy[row, entry] += 1
    return copy


CHANGES = [
    *(
        pytest.param(lambda s, r=r, e=e: {"weights": _plus(s.weights, r, e)}, id=f"A[{r},{e}] + 1")
        for r in range(3)
        for e in range(6)
    ),
    *(
        pytest.param(lambda s, r=r: {"offsets": tuple(c + (i == r) for i, c in enumerate(s.offsets))}, id=f"c[{r}] + 1")
        for r in range(3)
    ),
    pytest.param(
        lambda s: {"weights": s.weights[[1, 0, 2]], "offsets": (s.offsets[1], s.offsets[0], s.offsets[2])},
        id="rows swapped",
    ),
    pytest.param(lambda s: {"commitments": s.commitments[::-1]}, id="commitments reordered"),
    pytest.param(lambda s: {"commitments": (s.commitments[1], *s.commitments[1:])}, id="commitment repeated"),
    pytest.param(
        lambda s: {"weights": s.weights[:, ::-1].copy(), "commitments": s.commitments[::-1]}, id="both reordered"
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_field_of_the_statement(breach: Case, group: Group, change: Any) -> None:
    statement = dataclasses.replace(breach.statement, **change(breach.statement))
    message = (breach.proof[1:49], [breach.proof[49:97]])
    before, after = (choice_challenge(s.binding(), *message) for s in (breach.statement, statement))
    assert before != after
    with pytest.raises(BreachProofInvalid):
        verify_breach(statement, breach.proof, group)


@pytest.mark.parametrize("label", CONTEXT)
def test_every_context_value(breach: Case, group: Group, label: str) -> None:
    context = {**CONTEXT, label: CONTEXT[label] + "0"}
    with pytest.raises(BreachProofInvalid):
        verify_breach(dataclasses.replace(breach.statement, context=context), breach.proof, group)


@pytest.mark.parametrize("bits", [9, 11, 12])
def test_the_width(breach: Case, group: Group, bits: int) -> None:
    statement = dataclasses.replace(breach.statement, bits=bits)
    assert statement.binding() != breach.statement.binding()
    with pytest.raises((BreachProofInvalid, ProofEncodingError)):
        verify_breach(statement, breach.proof, group)


def test_the_messages_of_the_choice_are_absorbed(breach: Case) -> None:
    binding = breach.statement.binding()
    challenges = {
        choice_challenge(binding, W, announcements)
        for W in (b"W", b"V")
        for announcements in ([b"1", b"2"], [b"2", b"1"], [b"12"], [b"1", b"3"])
    }
    assert len(challenges) == 8
    # The second part's transcript holds every byte of the first.
    choice = breach.proof[1 : 1 + choice_bytes(3)]
    bound = dict(breach.statement.bit_statement(choice[:48], choice).binding)
    assert bound["choice"] == choice
    assert {label: bound[label] for label, _ in binding} == dict(binding)


def test_version_and_generators(breach: Case, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checks, "PROTOCOL_VERSION", "1")
        with pytest.raises(BreachProofInvalid):
            verify_breach(breach.statement, breach.proof, group)
    monkeypatch.setattr("atomic_margin.zk.choice.generators_hash", lambda: "00" * 32)
    with pytest.raises(BreachProofInvalid):
        verify_breach(breach.statement, breach.proof, group)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros((0, 1), dtype=np.int64), "offsets": ()}, "got 0"),
        ({"weights": np.zeros((257, 1), dtype=np.int64), "offsets": (0,) * 257}, "at most 256 rows"),
        ({"weights": np.zeros((1, 2), dtype=np.int64)}, "shape 1 x 2"),
        ({"weights": np.array([[2**48]])}, "coarsen the unit"),
        ({"offsets": (2**48,)}, r"offsets\[0\]"),
        ({"bits": 0}, "bits is 0"),
        ({"bits": 49}, "bits is 49"),
        ({"commitments": (bytes(47),)}, "not 48 bytes"),
        ({"context": {}}, "context names"),
    ],
)
def test_statements_outside_the_limits_cannot_be_made(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {
        "commitments": (bytes(48),),
        "weights": np.zeros((1, 1), dtype=np.int64),
        "offsets": (0,),
        "bits": 8,
        "context": {"run": "1"},
    }
    BreachStatement(**fields)
    with pytest.raises(StatementError, match=message):
        BreachStatement(**{**fields, **change})
