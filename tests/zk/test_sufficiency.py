"""A sufficiency proof exists exactly when every row is a surplus that fits its bits."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import PortfolioStatement, SufficiencyStatement, load_group, verify_portfolio, verify_sufficiency
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import (
    PortfolioProofInvalid,
    ProofEncodingError,
    StatementError,
    SufficiencyProofInvalid,
    WitnessError,
)
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import PortfolioWitness, SufficiencyWitness, binary

from .conftest import CONTEXT, SECRET, Case


def make(group: Group, values: tuple[int, ...], rows: list[list[int]], offsets: tuple[int, ...], bits: int) -> Case:
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = SufficiencyStatement(commitments, np.array(rows, dtype=np.int64), offsets, 0, bits, CONTEXT)
    return Case(statement, SufficiencyWitness(values, blindings), b"")


def forge(case: Case, bits: list[int], group: Group) -> bytes:
    witness = BitWitness(bits, case.witness.values, case.witness.blindings)
    return argue(case.statement.bit_statement(), witness, group)


def test_an_honest_proof_verifies_on_both_backends(sufficiency: Case, backend: Group) -> None:
    verify_sufficiency(sufficiency.statement, sufficiency.proof, backend)


def test_the_reference_backend_proves_for_the_fast_one(group: Group) -> None:
    reference = load_group("reference")
    case = make(reference, (3, 2), [[1, -1], [-2, 3]], (0, 4), 3)
    verify_sufficiency(case.statement, prove_sufficiency(case.statement, case.witness, reference), group)


def test_the_largest_statement_the_service_uses(group: Group) -> None:
    values = tuple(index % 32 for index in range(256))
    weights = [[(row * entry) % 7 - 3 for entry in range(256)] for row in range(64)]
    case = make(group, values, weights, (2**31,) * 64, 32)
    proof = prove_sufficiency(case.statement, case.witness, group)
    verify_sufficiency(case.statement, proof, group)
    assert len(proof) < 5_200


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_is_covered_can_be_proved_and_nothing_else(data: st.DataObject) -> None:
    group = load_group("arkworks")
    entries, rows = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    bound = 2**48 - 1
    values = tuple(data.draw(st.lists(st.integers(0, 31), min_size=entries, max_size=entries)))
    row = st.lists(st.integers(-bound, bound) | st.integers(-9, 9), min_size=entries, max_size=entries)
    weights = np.array(data.draw(st.lists(row, min_size=rows, max_size=rows)), dtype=np.int64)
    profits = [sum(int(w) * z for w, z in zip(line, values, strict=True)) for line in weights]
    bits = data.draw(st.integers(1, 48))
    # Around the edges: a surplus of -1, 0, the largest that fits, and one more.
    wanted = [data.draw(st.sampled_from([-1, 0, 1, 2**bits - 1, 2**bits])) for _ in range(rows)]
    offsets = tuple(max(-bound, min(bound, target - profit)) for target, profit in zip(wanted, profits, strict=True))
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = SufficiencyStatement(commitments, weights, offsets, 0, bits, CONTEXT)
    witness = SufficiencyWitness(values, blindings)
    if all(0 <= profit + offset < 2**bits for profit, offset in zip(profits, offsets, strict=True)):
        verify_sufficiency(statement, prove_sufficiency(statement, witness, group), group)
    else:
        with pytest.raises(WitnessError, match="row"):
            prove_sufficiency(statement, witness, group)


def test_a_negative_row_is_named_by_the_prover(group: Group) -> None:
    case = make(group, (3, 2), [[1, 1], [-2, 1]], (0, 3), 4)
    with pytest.raises(WitnessError, match="row 1 has a negative surplus"):
        prove_sufficiency(case.statement, case.witness, group)


def test_a_negative_row_is_refused_by_the_verifier(group: Group) -> None:
    # Row 1 is -1: honest bits of anything else, or digits that are not bits.
    case = make(group, (3, 2), [[1, 1], [-2, 1]], (0, 3), 4)
    for digits in ([-1, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]):
        with pytest.raises(SufficiencyProofInvalid):
            verify_sufficiency(case.statement, forge(case, [*binary(5, 4), *digits], group), group)


def test_a_surplus_of_one_bit_too_many_is_refused(group: Group) -> None:
    case = make(group, (3, 2), [[1, 1]], (11,), 4)
    for digits in ([0, 0, 0, 2], [0, 0, 0, 0]):
        with pytest.raises(SufficiencyProofInvalid):
            verify_sufficiency(case.statement, forge(case, digits, group), group)


def test_two_wrong_rows_that_cancel_are_refused(group: Group) -> None:
    # Row 0 is really 1, row 1 is really -1; the claimed bits are 0 and 0, whose plain sum is right.
    case = make(group, (3, 2), [[1, -1], [-1, 1]], (0, 0), 4)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(case.statement, forge(case, [0] * 8, group), group)


def test_a_top_up_one_too_small_is_refused(group: Group) -> None:
    # The smallest row is -7, so X must be at least 7.
    case = make(group, (3, 2), [[-3, 1], [1, 1]], (0, 0), 5)
    enough = dataclasses.replace(case.statement, top_up=7)
    proof = prove_sufficiency(enough, case.witness, group)
    verify_sufficiency(enough, proof, group)
    short = dataclasses.replace(case.statement, top_up=6)
    with pytest.raises(WitnessError, match="row 0"):
        prove_sufficiency(short, case.witness, group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(short, proof, group)
    forged = forge(dataclasses.replace(case, statement=short), [-1, 0, 0, 0, 0, *binary(11, 5)], group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(short, forged, group)


def test_minus_seven_short_lots_pass_sufficiency_but_never_the_portfolio_statement(group: Group) -> None:
    # One entry for short lots that costs margin. -7 of them would *earn* it: the sufficiency proof alone is fooled.
    values = (0, -7)
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    weights = np.array([[-10, -20]], dtype=np.int64)
    sufficiency = SufficiencyStatement(commitments, weights, (0,), 0, 10, CONTEXT)
    proof = prove_sufficiency(sufficiency, SufficiencyWitness(values, blindings), group)
    verify_sufficiency(sufficiency, proof, group)

    portfolio = PortfolioStatement(commitments, (5, 5), (1, 1), 100, CONTEXT)
    witness = PortfolioWitness(values, blindings)
    with pytest.raises(WitnessError, match="entry 1"):
        prove_portfolio(portfolio, witness, group)
    slack = binary(107, 7)
    for digits in ([-7, 0, 0, 0, 0], [1, 0, 0, -1, 0], binary(7, 5), binary(25, 5)):
        bits = BitWitness([0, 0, 0, 0, 0, *digits, *slack], values, blindings)
        with pytest.raises(PortfolioProofInvalid):
            verify_portfolio(portfolio, argue(portfolio.bit_statement(), bits, group), group)


def test_a_portfolio_proof_does_not_pass_for_a_sufficiency_proof(group: Group) -> None:
    # Same commitments, same bits, same relations: only the statement differs.
    values = (3,)
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    portfolio = PortfolioStatement(commitments, (5,), (1,), 31, CONTEXT)
    sufficiency = SufficiencyStatement(commitments, np.array([[1], [-1]]), (0, 31), 0, 5, CONTEXT)
    assert portfolio.bit_statement().relations == sufficiency.bit_statement().relations
    first = prove_portfolio(portfolio, PortfolioWitness(values, blindings), group)
    second = prove_sufficiency(sufficiency, SufficiencyWitness(values, blindings), group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(sufficiency, first, group)
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(portfolio, second, group)


def test_a_proof_for_fewer_rows_is_refused(sufficiency: Case, group: Group) -> None:
    statement = sufficiency.statement
    fewer = dataclasses.replace(statement, weights=statement.weights[:2], offsets=statement.offsets[:2])
    with pytest.raises(ProofEncodingError):
        verify_sufficiency(fewer, sufficiency.proof, group)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros((0, 1), dtype=np.int64), "offsets": ()}, "got 0"),
        ({"weights": np.zeros((1025, 1), dtype=np.int64), "offsets": (0,) * 1025}, "got 1025"),
        ({"weights": np.zeros((1, 2), dtype=np.int64)}, "shape 1 x 2"),
        ({"weights": np.zeros((1, 1))}, "int64"),
        ({"weights": np.zeros(1, dtype=np.int64)}, "two-dimensional"),
        ({"weights": [[0]]}, "int64"),
        ({"weights": np.array([[2**48]])}, "coarsen the unit"),
        ({"weights": np.array([[-(2**63)]])}, "coarsen the unit"),
        ({"offsets": (0, 0)}, "2 offsets"),
        ({"offsets": (2**48,)}, r"offsets\[0\]"),
        ({"offsets": (-(2**48),)}, r"offsets\[0\]"),
        ({"offsets": (np.int64(5),)}, "is an int here"),
        ({"top_up": -1}, "top_up is -1"),
        ({"top_up": 2**48}, "top_up"),
        ({"bits": 0}, "bits is 0"),
        ({"bits": 49}, "bits is 49"),
        ({"commitments": ()}, "got 0 commitments"),
        ({"context": {}}, "context names"),
    ],
)
def test_statements_outside_the_limits_cannot_be_made(change: dict[str, Any], message: str) -> None:
    fields = {
        "commitments": (bytes(48),),
        "weights": np.zeros((1, 1), dtype=np.int64),
        "offsets": (0,),
        "top_up": 0,
        "bits": 8,
        "context": {"run": "1"},
    }
    SufficiencyStatement(**fields)  # type: ignore[arg-type]
    with pytest.raises(StatementError, match=message):
        SufficiencyStatement(**{**fields, **change})


def test_a_statement_keeps_the_matrix_that_was_checked() -> None:
    weights = np.zeros((1, 1), dtype=np.int64)
    statement = SufficiencyStatement((bytes(48),), weights, (0,), 0, 8, {"run": "1"})
    weights[0, 0] = 5
    assert statement.weights[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        statement.weights[0, 0] = 5
