"""A proof belongs to one statement: change any absorbed element and it is refused. One test for each."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from atomic_margin.zk import PortfolioStatement, SufficiencyStatement, verify_portfolio, verify_sufficiency
from atomic_margin.zk.bits import challenges
from atomic_margin.zk.bits.challenges import ChallengeSequence
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.prove import prove_bits
from atomic_margin.zk.bits.statement import BitStatement, LinearForm, Relation
from atomic_margin.zk.bits.verify import verify_bits
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import (
    BitProofInvalid,
    PortfolioProofInvalid,
    ProofEncodingError,
    SufficiencyProofInvalid,
    VerificationError,
)
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import PortfolioWitness, SufficiencyWitness
from atomic_margin.zk.statements import checks

from .conftest import CONTEXT, SECRET, VALUES, Case

MESSAGES = ("A", "S", "T1", "T2", "t_hat", "tau_x", "mu", "L", "R", "tail")


def all_challenges(statement: BitStatement, messages: dict[str, bytes]) -> list[int]:
    sequence = ChallengeSequence(statement)
    return [
        *sequence.after_vectors(messages["A"], messages["S"]),
        sequence.after_quadratic(messages["T1"], messages["T2"]),
        sequence.after_evaluation(messages["t_hat"], messages["tau_x"], messages["mu"]),
        sequence.after_round(messages["L"], messages["R"]),
        sequence.after_tail(messages["tail"]),
    ]


def challenges_of(statement: PortfolioStatement | SufficiencyStatement) -> list[int]:
    """The challenges after fixed messages: a field that reaches them is bound, whatever the equations say of it."""
    return all_challenges(statement.bit_statement(), {name: name.encode() for name in MESSAGES})


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_changes_the_challenges_after_it_and_none_before(portfolio: Case, name: str) -> None:
    statement = portfolio.statement.bit_statement()
    messages = {label: label.encode() for label in MESSAGES}
    before = all_challenges(statement, messages)
    after = all_challenges(statement, {**messages, name: b"another"})
    # rho, y, z answer A and S; x, w, e and the weight answer one group of messages each.
    first = {"A": 0, "S": 0, "T1": 3, "T2": 3, "t_hat": 4, "tau_x": 4, "mu": 4, "L": 5, "R": 5, "tail": 6}[name]
    assert before[:first] == after[:first]
    assert not set(before[first:]) & set(after[first:])


@pytest.mark.parametrize("label", CONTEXT)
def test_every_context_value(portfolio: Case, sufficiency: Case, group: Group, label: str) -> None:
    context = {**CONTEXT, label: CONTEXT[label] + "0"}
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(dataclasses.replace(portfolio.statement, context=context), portfolio.proof, group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(dataclasses.replace(sufficiency.statement, context=context), sufficiency.proof, group)


@pytest.mark.parametrize("change", ["dropped", "renamed", "added", "swapped"])
def test_the_labels_of_the_context(portfolio: Case, group: Group, change: str) -> None:
    context = dict(CONTEXT)
    if change == "added":
        context["tenant"] = "1"
    elif change == "swapped":
        context["submission"], context["price sequence"] = context["price sequence"], context["submission"]
    else:
        value = context.pop("price sequence")
        if change == "renamed":
            context["price  sequence"] = value
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(dataclasses.replace(portfolio.statement, context=context), portfolio.proof, group)


def test_the_order_of_the_context_does_not_matter(portfolio: Case, group: Group) -> None:
    context = dict(reversed(list(CONTEXT.items())))
    verify_portfolio(dataclasses.replace(portfolio.statement, context=context), portfolio.proof, group)


def _swapped(commitments: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (commitments[1], commitments[0], *commitments[2:])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: {"widths": (4, *s.widths[1:]), "gross_limit": 2047}, id="widths, same length"),
        pytest.param(lambda s: {"widths": (4, 6, *s.widths[2:])}, id="widths, same sum"),
        pytest.param(lambda s: {"gross_weights": (2, *s.gross_weights[1:])}, id="gross weight of a held entry"),
        pytest.param(lambda s: {"gross_weights": (*s.gross_weights[:-1], 8)}, id="gross weight of an empty entry"),
        pytest.param(lambda s: {"gross_limit": s.gross_limit + 1}, id="gross limit + 1"),
        pytest.param(lambda s: {"gross_limit": s.gross_limit - 1}, id="gross limit - 1"),
        pytest.param(lambda s: {"commitments": _swapped(s.commitments)}, id="commitments swapped"),
        pytest.param(lambda s: {"commitments": s.commitments[::-1]}, id="commitments reversed"),
        pytest.param(lambda s: {"commitments": (s.commitments[1], *s.commitments[1:])}, id="commitment repeated"),
    ],
)
def test_every_field_of_the_portfolio_statement(portfolio: Case, group: Group, change: Any) -> None:
    statement = dataclasses.replace(portfolio.statement, **change(portfolio.statement))
    assert not set(challenges_of(statement)) & set(challenges_of(portfolio.statement))
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(statement, portfolio.proof, group)


def _changed(weights: Any, row: int, entry: int, by: int) -> Any:
    copy = weights.copy()
    copy[row, entry] += by
    return copy


@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param(lambda s, r=r, e=e: {"weights": _changed(s.weights, r, e, 1)}, id=f"A[{r},{e}] + 1")
            for r in range(3)
            for e in range(6)
        ),
        pytest.param(lambda s: {"weights": s.weights[[1, 0, 2]]}, id="rows swapped"),
        pytest.param(lambda s: {"weights": s.weights[:, [1, 0, 2, 3, 4, 5]]}, id="columns swapped"),
        pytest.param(lambda s: {"weights": s.weights.astype(np.int64) * 0}, id="zero matrix"),
        pytest.param(lambda s: {"offsets": (s.offsets[0] + 1, *s.offsets[1:])}, id="offset + 1"),
        pytest.param(lambda s: {"offsets": (*s.offsets[:2], s.offsets[2] - 1)}, id="offset - 1"),
        pytest.param(lambda s: {"top_up": s.top_up + 1}, id="top-up + 1"),
        pytest.param(lambda s: {"top_up": s.top_up - 1}, id="top-up - 1"),
        pytest.param(
            lambda s: {"top_up": s.top_up + 1, "offsets": tuple(c - 1 for c in s.offsets)},
            id="top-up moved into the offsets",
        ),
        pytest.param(lambda s: {"commitments": _swapped(s.commitments)}, id="commitments swapped"),
        pytest.param(lambda s: {"commitments": (s.commitments[1], *s.commitments[1:])}, id="commitment repeated"),
    ],
)
def test_every_field_of_the_sufficiency_statement(sufficiency: Case, group: Group, change: Any) -> None:
    statement = dataclasses.replace(sufficiency.statement, **change(sufficiency.statement))
    assert not set(challenges_of(statement)) & set(challenges_of(sufficiency.statement))
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(statement, sufficiency.proof, group)


@pytest.mark.parametrize("bits", [11, 12, 14, 15, 48])
def test_the_width_of_a_row(sufficiency: Case, group: Group, bits: int) -> None:
    with pytest.raises((SufficiencyProofInvalid, ProofEncodingError)):
        verify_sufficiency(dataclasses.replace(sufficiency.statement, bits=bits), sufficiency.proof, group)


def test_rows_and_bits_that_give_the_same_total(group: Group) -> None:
    commitments, blindings = commit_values((0,), SECRET, CONTEXT, group)
    two = SufficiencyStatement(commitments, np.zeros((2, 1), dtype=np.int64), (0, 0), 0, 6, CONTEXT)
    three = SufficiencyStatement(commitments, np.zeros((3, 1), dtype=np.int64), (0, 0, 0), 0, 4, CONTEXT)
    assert not set(challenges_of(two)) & set(challenges_of(three))
    proof = prove_sufficiency(two, SufficiencyWitness((0,), blindings), group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(three, proof, group)


def test_commitments_to_the_same_values_made_afresh(portfolio: Case, group: Group) -> None:
    fresh, _ = commit_values(VALUES, SECRET, CONTEXT, group)
    assert not set(fresh) & set(portfolio.statement.commitments)
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(dataclasses.replace(portfolio.statement, commitments=fresh), portfolio.proof, group)


def test_the_protocol_version(
    portfolio: Case, sufficiency: Case, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "PROTOCOL_VERSION", "1")
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(portfolio.statement, portfolio.proof, group)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(sufficiency.statement, sufficiency.proof, group)


def test_the_generators(portfolio: Case, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "generators_hash", lambda: "00" * 32)
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(portfolio.statement, portfolio.proof, group)


def bit_statement(commitments: tuple[bytes, ...]) -> BitStatement:
    # Two values of four bits; the second relation is 0 = 0 and does not touch the equation.
    return BitStatement(
        name="example",
        binding=(("first", b"1"), ("second", b"2")),
        commitments=commitments,
        relations=(
            Relation(LinearForm.binary(0, 4), LinearForm((0,), (1,)), 0),
            Relation(LinearForm((), ()), LinearForm((), ()), 0),
            Relation(LinearForm.binary(4, 4), LinearForm((1,), (1,)), 0),
        ),
        parameters=BitParameters(8, 1),
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: {"name": "another"}, id="name"),
        pytest.param(lambda s: {"binding": (("first", b"1"), ("second", b"3"))}, id="bound data"),
        pytest.param(lambda s: {"binding": (("first", b"1"), ("third", b"2"))}, id="bound label"),
        pytest.param(lambda s: {"binding": (("second", b"2"), ("first", b"1"))}, id="bound order"),
        pytest.param(lambda s: {"binding": (("first", b"1"),)}, id="bound part dropped"),
        pytest.param(lambda s: {"parameters": BitParameters(7, 1), "relations": s.relations[:1]}, id="bits"),
        pytest.param(lambda s: {"relations": s.relations[:2]}, id="relation dropped"),
        pytest.param(lambda s: {"relations": (*s.relations, s.relations[1])}, id="empty relation added"),
        pytest.param(lambda s: {"relations": s.relations[::-1]}, id="relations reordered"),
        pytest.param(lambda s: {"commitments": (*s.commitments, s.commitments[0])}, id="unused commitment added"),
        pytest.param(lambda s: {"commitments": s.commitments[::-1]}, id="commitments swapped"),
    ],
)
def test_everything_the_argument_absorbs_itself(group: Group, change: Any) -> None:
    messages = {label: label.encode() for label in MESSAGES}
    values = (9, 9)
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = bit_statement(commitments)
    proof = prove_bits(statement, BitWitness((1, 0, 0, 1) * 2, values, blindings), group)
    verify_bits(statement, proof, group)
    other = dataclasses.replace(statement, **change(statement))
    # Relations are bound by what determines them, so exchanging them alone is left to the equations.
    if len(other.relations) != len(statement.relations) or other.relations == statement.relations:
        assert not set(all_challenges(statement, messages)) & set(all_challenges(other, messages))
    with pytest.raises(BitProofInvalid):
        verify_bits(other, proof, group)


def test_other_rounds(group: Group) -> None:
    # Eight bits folded once take the bytes of … nothing else; so the length already tells.
    commitments, blindings = commit_values((9, 9), SECRET, CONTEXT, group)
    statement = bit_statement(commitments)
    proof = prove_bits(statement, BitWitness((1, 0, 0, 1) * 2, (9, 9), blindings), group)
    for rounds in (0, 2, 3):
        with pytest.raises(ProofEncodingError):
            verify_bits(dataclasses.replace(statement, parameters=BitParameters(8, rounds)), proof, group)


def test_replay_for_another_account_with_equal_public_data(group: Group) -> None:
    values = (1, 2)
    ours, blindings = commit_values(values, SECRET, CONTEXT, group)
    theirs, _ = commit_values(values, SECRET[::-1], CONTEXT, group)
    statement = PortfolioStatement(ours, (2, 2), (1, 1), 7, CONTEXT)
    proof = prove_portfolio(statement, PortfolioWitness(values, blindings), group)
    with pytest.raises(VerificationError):
        verify_portfolio(dataclasses.replace(statement, commitments=theirs), proof, group)
