"""Sufficiency with slack: exact models, in which the prover supplies auxiliary amounts that rows keep honest."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import SufficiencyStatement, load_group, verify_sufficiency
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import ProofEncodingError, StatementError, SufficiencyProofInvalid, WitnessError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness, binary

from .conftest import CONTEXT, SECRET, VALUES, Case
from .kinds import first_challenges


def forge(statement: SufficiencyStatement, case: Case, surpluses: list[int], slack: list[int], group: Group) -> bytes:
    """Claim these surpluses and slack values; what does not fit goes into the highest digit."""
    bits: list[int] = []
    widths = [statement.bits] * len(surpluses) + list(statement.slack_widths)
    for value, width in zip([*surpluses, *slack], widths, strict=True):
        top = width - 1
        bits += [*binary(value & ((1 << top) - 1), top), value >> top]
    witness = BitWitness(bits, case.witness.values, case.witness.blindings)
    return argue(statement.bit_statement(), witness, group)


def test_an_honest_proof_verifies_on_both_backends(slack: Case, backend: Group) -> None:
    verify_sufficiency(slack.statement, slack.proof, backend)


def test_slack_costs_bits_and_nothing_else(slack: Case, sufficiency: Case) -> None:
    statement = slack.statement.bit_statement()
    assert statement.parameters.bits == 3 * 6 + 7
    assert statement.commitments == sufficiency.statement.commitments
    # Without slack the statement is what it was: as many bits, no dense part.
    assert sufficiency.statement.bit_statement().dense == ()
    assert sufficiency.statement.bit_statement().parameters.bits == 3 * 13


def test_the_prover_names_what_does_not_fit(slack: Case, group: Group) -> None:
    for value, message in ((34, "row 1 has a negative surplus"), (36, "row 2 has a negative surplus")):
        with pytest.raises(WitnessError, match=message):
            prove_sufficiency(slack.statement, dataclasses.replace(slack.witness, slack=(value,)), group)
    for values in ((), (35, 0)):
        with pytest.raises(WitnessError, match="takes 1 slack values"):
            prove_sufficiency(slack.statement, dataclasses.replace(slack.witness, slack=values), group)
    negative = dataclasses.replace(slack.statement, offsets=(64, 64, 20), bits=7)
    with pytest.raises(WitnessError, match="slack 0 is not in"):
        prove_sufficiency(negative, dataclasses.replace(slack.witness, slack=(-1,)), group)


def test_dishonest_slack_is_refused(slack: Case, group: Group) -> None:
    statement = slack.statement
    verify_sufficiency(statement, forge(statement, slack, [1, 0, 0], [35], group), group)
    # Less is needed than the second loss; negative slack; slack of other digits in different rows.
    for surpluses, u in (([0, -1, 1], 34), ([0, 0, 1], 34), ([-35, -35, 34], 1), ([1, 0, 5], 30)):
        with pytest.raises(SufficiencyProofInvalid):
            verify_sufficiency(statement, forge(statement, slack, surpluses, [u], group), group)


def test_the_top_up_enters_the_rows_it_is_meant_for_alone(slack: Case, group: Group) -> None:
    assert slack.statement.constants == (0, 0, 35)
    # One unit less in the margin row is not enough; in the validity rows it would be wasted.
    for change in ({"top_up": 14}, {"top_up_weights": (1, 0, 0)}, {"top_up_weights": (0, 0, 0)}):
        short = dataclasses.replace(slack.statement, **change)
        with pytest.raises(WitnessError, match="row 2 has a negative surplus"):
            prove_sufficiency(short, slack.witness, group)
        with pytest.raises(SufficiencyProofInvalid):
            verify_sufficiency(short, slack.proof, group)
    # In a validity row a top-up would pay for slack that is too small: u = 20 then passes.
    everywhere = dataclasses.replace(slack.statement, top_up_weights=None)
    unsound = dataclasses.replace(slack.witness, slack=(20,))
    verify_sufficiency(everywhere, prove_sufficiency(everywhere, unsound, group), group)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_expected_shortfall_is_provable_exactly_when_it_is_covered(data: st.DataObject) -> None:
    """ES = min over t of t + (1/k) sum of max(0, L_s - t): the mean of the k worst losses. Times k, all integers."""
    group = load_group("arkworks")
    scenarios, worst = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3))
    worst = min(worst, scenarios)
    values = tuple(data.draw(st.lists(st.integers(0, 31), min_size=2, max_size=2)))
    pnl = data.draw(
        st.lists(st.lists(st.integers(-9, 0), min_size=2, max_size=2), min_size=scenarios, max_size=scenarios)
    )
    losses = sorted((-sum(w * z for w, z in zip(row, values, strict=True)) for row in pnl), reverse=True)
    needed = sum(losses[:worst])
    collateral = max(0, math.ceil(needed / worst) + data.draw(st.sampled_from([-1, 0, 1])))
    threshold = losses[worst - 1]
    # Slack t, u_1 … u_S. Validity: u_s - L_s + t >= 0. Margin: k C - k t - sum u >= 0.
    weights = np.array([*pnl, [0, 0]], dtype=np.int64)
    slack = np.zeros((scenarios + 1, scenarios + 1), dtype=np.int64)
    slack[:-1, 0] = 1
    slack[:-1, 1:] = np.eye(scenarios)
    slack[-1] = [-worst, *[-1] * scenarios]
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = SufficiencyStatement(
        commitments,
        weights,
        (0,) * (scenarios + 1),
        collateral,
        16,
        CONTEXT,
        slack=slack,
        slack_widths=(12,) * (scenarios + 1),
        top_up_weights=(*(0,) * scenarios, worst),
    )
    auxiliary = [max(0, -sum(w * z for w, z in zip(row, values, strict=True)) - threshold) for row in pnl]
    witness = SufficiencyWitness(values, blindings, slack=(threshold, *auxiliary))
    if needed <= worst * collateral:
        verify_sufficiency(statement, prove_sufficiency(statement, witness, group), group)
    else:
        with pytest.raises(WitnessError, match=f"row {scenarios} has a negative surplus"):
            prove_sufficiency(statement, witness, group)


@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param(lambda s, r=r: {"slack": s.slack + np.eye(3, 1, -r, dtype=np.int64)}, id=f"S[{r},0] + 1")
            for r in range(3)
        ),
        pytest.param(lambda s: {"slack": s.slack[[0, 2, 1]]}, id="rows of S swapped"),
        pytest.param(lambda s: {"top_up_weights": (0, 1, 1)}, id="top-up in one more row"),
        pytest.param(lambda s: {"top_up_weights": (0, 0, 3), "top_up": 5}, id="same product"),
        pytest.param(lambda s: {"offsets": (0, 0, 35), "top_up": 0}, id="top-up moved into the offsets"),
        pytest.param(lambda s: {"top_up_weights": None}, id="top-up everywhere"),
    ],
)
def test_every_new_field_is_bound(slack: Case, group: Group, change: Any) -> None:
    statement = dataclasses.replace(slack.statement, **change(slack.statement))
    assert not first_challenges(statement) & first_challenges(slack.statement)
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(statement, slack.proof, group)


def test_the_widths_of_slack_are_bound(slack: Case, group: Group) -> None:
    for widths in ((6,), (8,)):
        statement = dataclasses.replace(slack.statement, slack_widths=widths)
        assert statement.bit_statement().binding != slack.statement.bit_statement().binding
        with pytest.raises((SufficiencyProofInvalid, ProofEncodingError)):
            verify_sufficiency(statement, slack.proof, group)
    # Two slack values in as many bits.
    wider = dataclasses.replace(slack.statement, slack=np.hstack([slack.statement.slack] * 2), slack_widths=(4, 3))
    assert wider.bit_statement().parameters == slack.statement.bit_statement().parameters
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(wider, slack.proof, group)


def test_no_slack_can_be_said_in_two_ways(sufficiency: Case, group: Group) -> None:
    said = dataclasses.replace(
        sufficiency.statement, slack=np.zeros((3, 0), dtype=np.int64), slack_widths=(), top_up_weights=(1, 1, 1)
    )
    verify_sufficiency(said, sufficiency.proof, group)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slack": np.zeros((1, 1), dtype=np.int64)}, "slack has shape"),
        ({"slack_widths": (5,)}, "slack has shape"),
        ({"slack": np.zeros((2, 1), dtype=np.int64), "slack_widths": (5,)}, "slack has shape"),
        ({"slack": np.zeros((1, 1)), "slack_widths": (5,)}, "int64"),
        ({"slack": np.array([[2**32]]), "slack_widths": (5,)}, "slack has an entry"),
        ({"slack": np.zeros((1, 1), dtype=np.int64), "slack_widths": (0,)}, r"slack_widths\[0\]"),
        ({"slack": np.zeros((1, 1), dtype=np.int64), "slack_widths": (49,)}, r"slack_widths\[0\]"),
        ({"slack": np.zeros((1, 1025), dtype=np.int64), "slack_widths": (1,) * 1025}, "at most 1024 slack"),
        ({"top_up_weights": (1, 1)}, "2 top-up weights"),
        ({"top_up_weights": (-1,)}, r"top_up_weights\[0\]"),
        ({"top_up_weights": (2**16 + 1,)}, r"top_up_weights\[0\]"),
    ],
)
def test_statements_outside_the_limits_cannot_be_made(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {
        "commitments": (bytes(48),),
        "weights": np.zeros((1, 1), dtype=np.int64),
        "offsets": (0,),
        "top_up": 0,
        "bits": 8,
        "context": {"run": "1"},
    }
    SufficiencyStatement(**fields)
    with pytest.raises(StatementError, match=message):
        SufficiencyStatement(**{**fields, **change})


def test_many_rows(group: Group) -> None:
    commitments, blindings = commit_values(VALUES[:2], SECRET, CONTEXT, group)
    weights = np.arange(1600, dtype=np.int64).reshape(800, 2) % 3
    statement = SufficiencyStatement(commitments, weights, (0,) * 800, 0, 3, CONTEXT)
    witness = SufficiencyWitness(VALUES[:2], blindings)
    verify_sufficiency(statement, prove_sufficiency(statement, witness, group), group)
