"""A portfolio proof exists exactly when every entry is in range and the gross limit is kept."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import PortfolioStatement, load_group, verify_portfolio
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import PointEncodingError, PortfolioProofInvalid, StatementError, WitnessError
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.witness import PortfolioWitness, binary

from .conftest import CONTEXT, SECRET, Case

COMMITMENT = bytes(48)


def make(group: Group, values: tuple[int, ...], width: int, weights: tuple[int, ...], limit: int) -> Case:
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = PortfolioStatement(commitments, (width,) * len(values), weights, limit, CONTEXT)
    return Case(statement, PortfolioWitness(values, blindings), b"")


def forge(case: Case, bits: list[int], group: Group) -> bytes:
    """Run the argument on bits of our choice, without the prover's checks."""
    witness = BitWitness(bits, case.witness.values, case.witness.blindings)
    return argue(case.statement.bit_statement(), witness, group)


def test_an_honest_proof_verifies_on_both_backends(portfolio: Case, backend: Group) -> None:
    verify_portfolio(portfolio.statement, portfolio.proof, backend)


def test_the_reference_backend_proves_for_the_fast_one(group: Group) -> None:
    reference = load_group("reference")
    case = make(reference, (3, 2), 2, (1, 2), 7)
    verify_portfolio(case.statement, prove_portfolio(case.statement, case.witness, reference), group)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_keeps_the_rules_can_be_proved_and_nothing_else(data: st.DataObject) -> None:
    group = load_group("arkworks")
    count = data.draw(st.integers(1, 6))
    widths = tuple(data.draw(st.lists(st.integers(1, 32), min_size=count, max_size=count)))
    values = tuple(data.draw(st.integers(0, 2**width - 1)) for width in widths)
    weights = tuple(data.draw(st.lists(st.integers(1, 2**20), min_size=count, max_size=count)))
    gross = sum(weight * value for weight, value in zip(weights, values, strict=True))
    limit = data.draw(st.one_of(st.just(max(gross, 1)), st.just(max(gross - 1, 1)), st.integers(1, 2**63 - 1)))
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = PortfolioStatement(commitments, widths, weights, limit, CONTEXT)
    witness = PortfolioWitness(values, blindings)
    if gross <= limit:
        verify_portfolio(statement, prove_portfolio(statement, witness, group), group)
    else:
        with pytest.raises(WitnessError, match="gross limit"):
            prove_portfolio(statement, witness, group)


@pytest.mark.parametrize("value", [-1, 32, 2**32, ORDER - 1])
def test_the_prover_names_the_entry_out_of_range(group: Group, value: int) -> None:
    case = make(group, (3, value), 5, (1, 1), 40)
    with pytest.raises(WitnessError, match="entry 1 ") as caught:
        prove_portfolio(case.statement, case.witness, group)
    assert str(value) not in str(caught.value).replace("2^5", "")


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        pytest.param(32, [0, 0, 0, 0, 2], id="2^w with a digit 2"),
        pytest.param(-1, [-1, 0, 0, 0, 0], id="-1 with a digit -1"),
        pytest.param(ORDER - 1, [-1, 0, 0, 0, 0], id="r - 1"),
        pytest.param(-7, [1, 0, 0, 0, ORDER - pow(2, -1, ORDER)], id="-7 with a digit -1/2"),
    ],
)
def test_digits_that_are_not_bits_are_refused(group: Group, value: int, digits: list[int]) -> None:
    case = make(group, (3, value), 5, (1, 1), 127)
    signed = -1 if value == ORDER - 1 else value
    proof = forge(case, [*binary(3, 5), *digits, *binary(127 - 3 - signed, 7)], group)
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(case.statement, proof, group)


def test_bits_of_another_value_than_the_committed_one_are_refused(group: Group) -> None:
    case = make(group, (3, -7), 5, (1, 1), 127)
    proof = forge(case, [*binary(3, 5), *binary(7, 5), *binary(127 - 10, 7)], group)
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(case.statement, proof, group)


def test_a_gross_limit_exceeded_by_one_is_refused(group: Group) -> None:
    case = make(group, (31, 10), 5, (1, 1), 40)
    for slack in ([-1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]):
        with pytest.raises(PortfolioProofInvalid):
            verify_portfolio(case.statement, forge(case, [*binary(31, 5), *binary(10, 5), *slack], group), group)


def test_the_wrong_blinding_is_named_before_proving(portfolio: Case, group: Group) -> None:
    blindings = list(portfolio.witness.blindings)
    blindings[4] += 1
    with pytest.raises(WitnessError, match="commitment 4 does not open"):
        prove_portfolio(portfolio.statement, PortfolioWitness(portfolio.witness.values, tuple(blindings)), group)


def test_the_number_of_blindings_must_match(portfolio: Case, group: Group) -> None:
    witness = PortfolioWitness(portfolio.witness.values, portfolio.witness.blindings[:-1])
    with pytest.raises(WitnessError, match="6 entries"):
        prove_portfolio(portfolio.statement, witness, group)


def test_an_identity_commitment_is_refused(portfolio: Case, backend: Group) -> None:
    identity = bytes([0xC0]) + bytes(47)
    statement = dataclasses.replace(portfolio.statement, commitments=(identity, *portfolio.statement.commitments[1:]))
    with pytest.raises(PointEncodingError, match="commitment 0"):
        verify_portfolio(statement, portfolio.proof, backend)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (0,)}, r"widths\[0\] is 0"),
        ({"widths": (33,)}, r"widths\[0\] is 33"),
        ({"widths": (5.0,)}, "is an int here, got float"),
        ({"widths": (True,)}, "got bool"),
        ({"widths": (5, 5)}, "2 widths"),
        ({"gross_weights": (-1,)}, r"gross_weights\[0\] is -1"),
        ({"gross_weights": (2**76,)}, "could exceed"),
        ({"gross_weights": ()}, "0 gross weights"),
        ({"gross_limit": 0}, "gross_limit is 0"),
        ({"gross_limit": -5}, "gross_limit is -5"),
        ({"gross_limit": 2**63}, "gross_limit is"),
        ({"commitments": (), "widths": (), "gross_weights": ()}, "got 0 commitments"),
        ({"commitments": (bytes(47),)}, r"commitments\[0\]"),
        ({"commitments": ("c0",)}, r"commitments\[0\]"),
        ({"context": {}}, "context names"),
        ({"context": {"run": 7}}, "labels and values are strings"),
        ({"context": {"run": "\ud800"}}, "no canonical form"),
        ({"context": {"run": "x" * 70_000}}, "context takes"),
    ],
)
def test_statements_outside_the_limits_cannot_be_made(change: dict[str, Any], message: str) -> None:
    fields = {
        "commitments": (COMMITMENT,),
        "widths": (5,),
        "gross_weights": (1,),
        "gross_limit": 31,
        "context": {"run": "1"},
    }
    PortfolioStatement(**fields)  # type: ignore[arg-type]
    with pytest.raises(StatementError, match=message):
        PortfolioStatement(**{**fields, **change})


def test_a_statement_keeps_what_was_checked() -> None:
    context = {"run": "1"}
    statement = PortfolioStatement((COMMITMENT,), (5,), (1,), 31, context)
    context["run"] = "2"
    assert statement.context == {"run": "1"}
