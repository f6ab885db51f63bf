"""A top-up is shown to be what one row lacks, rounded up to the step: no more, no less, of this very row."""

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.margin.rows.top_up import TopUp
from atomic_margin.zk import BatchInvalid, Claim, LackStatement, load_group, verify_batch, verify_lack, verify_portfolio
from atomic_margin.zk.bits.challenges import ChallengeSequence
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import (
    LackProofInvalid,
    PointEncodingError,
    ProofEncodingError,
    StatementError,
    WitnessError,
)
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness, binary
from atomic_margin.zk.sharing.open_row import RowOpening, open_row, share_row
from atomic_margin.zk.sharing.rows import Row
from atomic_margin.zk.statements import checks
from atomic_margin.zk.statements import lack as module
from atomic_margin.zk.verify.queue import VerificationQueue

from .conftest import CONTEXT, SECRET, VALUES, Case
from .shared import book


def of(group: Group, value: int, top_up: int, step: int) -> tuple[LackStatement, RowOpening]:
    """A statement about a row of this value, with its opening."""
    weights = (-10, 4, -1, 0, 3, 9)
    commitments, blindings = commit_values(VALUES, SECRET, CONTEXT, group)
    opening = RowOpening(value, sum(w * gamma for w, gamma in zip(weights, blindings, strict=True)) % ORDER)
    return LackStatement(commitments, np.array(weights, dtype=np.int64), value + 58, top_up, step, CONTEXT), opening


def falsely(statement: LackStatement, opening: RowOpening, group: Group) -> bytes:
    """What a prover that does not look makes: digits of the two rows modulo 2^bits."""
    inner = statement.sufficiency(group.encode_point(statement.row_point(group)))
    left = opening.value + statement.top_up
    bits = [*binary(left, statement.bits), *binary(statement.step - 1 - left, statement.bits)]
    return argue(inner.bit_statement(), BitWitness(bits, (opening.value,), (opening.blinding,)), group)


def test_an_honest_proof_verifies_on_both_backends(lack: Case, portfolio: Case, backend: Group) -> None:
    verify_lack(lack.statement, lack.proof, backend)
    verify_lack(lack.statement, prove_lack(lack.statement, lack.witness, backend), load_group("arkworks"))
    # What keeps its entries in range.
    assert lack.statement.commitments == portfolio.statement.commitments
    verify_portfolio(portfolio.statement, portfolio.proof, backend)


def test_what_a_row_lacks_is_proved_of_its_shares(group: Group) -> None:
    weights = (-10, 4, -1, 0, 3)
    row = Row(book().deal, weights, 20)
    opening = open_row(row, [share_row(row, one) for one in book().shares[2:]], group)
    statement = LackStatement(book().statement.commitments, np.array(weights), 20, 40, 8, CONTEXT)
    verify_lack(statement, prove_lack(statement, opening, group), group)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_top_up_of_the_margin_call_is_proved_and_no_other(data: st.DataObject) -> None:
    group = load_group("arkworks")
    step = data.draw(st.integers(1, 9) | st.integers(1, 2**44) | st.sampled_from([2**k for k in range(44)]))
    short = data.draw(st.integers(1, 3 * step) | st.integers(1, 2**46) | st.sampled_from([step, step + 1]))
    top_up = -(-short // step) * step
    statement, opening = of(group, -short, top_up, step)
    assert (step - 1) >> statement.bits == 0
    assert statement.bits == 1 or (step - 1) >> (statement.bits - 1) == 1
    proof = prove_lack(statement, opening, group)
    verify_lack(statement, proof, group)
    for other in (top_up - step, top_up + step):
        if other <= 0:
            continue
        changed = dataclasses.replace(statement, top_up=other)
        with pytest.raises(WitnessError, match="lacks more than" if other < top_up else "at least a step less"):
            prove_lack(changed, opening, group)
        for made in (proof, falsely(changed, opening, group)):
            with pytest.raises(LackProofInvalid):
                verify_lack(changed, made, group)


def test_it_is_the_top_up_that_margin_computes(group: Group) -> None:
    for short in (1, 799, 800, 801, 1600):
        call = TopUp.of(short, -2, Decimal(100), 51_200)
        statement, opening = of(group, -short, call.units, call.step)
        verify_lack(statement, prove_lack(statement, opening, group), group)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8])
def test_exactly_what_is_in_a_step_is_proved(group: Group, step: int) -> None:
    # The honest prover and one that does not look, about every value around the step.
    for value in range(-2 * step - 2, 3):
        statement, opening = of(group, value, step, step)
        if 0 <= value + step < step:
            verify_lack(statement, prove_lack(statement, opening, group), group)
            verify_lack(statement, falsely(statement, opening, group), group)
            continue
        with pytest.raises(WitnessError):
            prove_lack(statement, opening, group)
        with pytest.raises(LackProofInvalid):
            verify_lack(statement, falsely(statement, opening, group), group)


def test_each_of_the_two_rows_is_needed(group: Group) -> None:
    # With a step of 5 there are 3 bits: -2 and 7 both fit one of the rows, and not the other.
    for left in (-2, 7):
        statement, opening = of(group, left - 10, 10, 5)
        one_fits = [0 <= number < 8 for number in (left, 4 - left)]
        assert sorted(one_fits) == [False, True]
        with pytest.raises(LackProofInvalid):
            verify_lack(statement, falsely(statement, opening, group), group)
        inner = statement.sufficiency(group.encode_point(statement.row_point(group)))
        with pytest.raises(WitnessError, match=f"row {one_fits.index(False)} has a negative surplus"):
            prove_sufficiency(inner, SufficiencyWitness((opening.value,), (opening.blinding,)), group)


def test_nothing_wraps_at_the_limits(group: Group) -> None:
    high = checks.WEIGHT_BOUND - 1
    statement, opening = of(group, -high, high, high)
    assert statement.bits == checks.MAX_ROW_BITS
    verify_lack(statement, prove_lack(statement, opening, group), group)
    # r - 1 is -1 modulo the order of the group: openings are of integers, and what is far out is refused.
    far = dataclasses.replace(opening, value=opening.value + ORDER)
    with pytest.raises(WitnessError):
        prove_lack(statement, far, group)


def _plus(weights: Any, entry: int) -> Any:
    copy = weights.copy()
    copy[entry] += 1
    return copy


CHANGES = [
    *(pytest.param(lambda s, e=e: {"weights": _plus(s.weights, e)}, id=f"a[{e}] + 1") for e in range(6)),
    pytest.param(lambda s: {"weights": -s.weights}, id="another row"),
    pytest.param(lambda s: {"offset": s.offset + 1}, id="offset + 1"),
    pytest.param(lambda s: {"offset": s.offset - 1}, id="offset - 1"),
    pytest.param(lambda s: {"top_up": s.top_up - s.step}, id="too small by a step"),
    pytest.param(lambda s: {"top_up": s.top_up + s.step}, id="too large by a step"),
    pytest.param(lambda s: {"top_up": s.top_up + s.step, "offset": s.offset - s.step}, id="moved into the offset"),
    pytest.param(lambda s: {"step": s.top_up}, id="another step"),
    pytest.param(lambda s: {"commitments": s.commitments[::-1]}, id="commitments reordered"),
    pytest.param(
        lambda s: {"commitments": s.commitments[::-1], "weights": s.weights[::-1].copy()}, id="the same row, reordered"
    ),
    pytest.param(lambda s: {"commitments": (s.commitments[1], *s.commitments[1:])}, id="commitment repeated"),
    # The row does not touch entry 3, but the statement names its commitment.
    pytest.param(
        lambda s: {"commitments": (*s.commitments[:3], s.commitments[0], *s.commitments[4:])}, id="without weight"
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_field_of_the_statement(lack: Case, group: Group, change: Any) -> None:
    statement = dataclasses.replace(lack.statement, **change(lack.statement))
    assert statement.hash() != lack.statement.hash()
    with pytest.raises((LackProofInvalid, ProofEncodingError)):
        verify_lack(statement, lack.proof, group)


@pytest.mark.parametrize("label", CONTEXT)
def test_every_context_value(lack: Case, group: Group, label: str) -> None:
    context = {**CONTEXT, label: CONTEXT[label] + "0"}
    with pytest.raises(LackProofInvalid):
        verify_lack(dataclasses.replace(lack.statement, context=context), lack.proof, group)


def test_commitments_made_afresh(lack: Case, group: Group) -> None:
    fresh, _ = commit_values(VALUES, SECRET, CONTEXT, group)
    statement = dataclasses.replace(lack.statement, commitments=fresh)
    with pytest.raises(LackProofInvalid):
        verify_lack(statement, lack.proof, group)
    with pytest.raises(WitnessError, match="not that of the row"):
        prove_lack(statement, lack.witness, group)


def test_the_whole_statement_is_absorbed_before_any_challenge(lack: Case, group: Group) -> None:
    row = group.encode_point(lack.statement.row_point(group))
    inner = lack.statement.sufficiency(row)
    assert inner.context == {**CONTEXT, module.LABEL: lack.statement.hash()}
    assert canonical_bytes(inner.context) in dict(inner.bit_statement().binding)["public"]
    # The same claim about the same commitment, but for what is said of the entries: another transcript.
    others = dataclasses.replace(lack.statement, commitments=lack.statement.commitments[::-1])
    first, second = (
        set(ChallengeSequence(s.sufficiency(row).bit_statement()).after_vectors(b"A", b"S"))
        for s in (lack.statement, others)
    )
    assert not first & second


def test_the_version_is_in_the_hash(lack: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lack.statement.hash()
    monkeypatch.setattr(checks, "PROTOCOL_VERSION", "1")
    assert lack.statement.hash() != before


@pytest.mark.parametrize("field", ["value", "blinding"])
def test_an_opening_of_something_else_is_refused(lack: Case, group: Group, field: str) -> None:
    wrong = dataclasses.replace(lack.witness, **{field: getattr(lack.witness, field) + 1})
    with pytest.raises(WitnessError, match="not that of the row") as caught:
        prove_lack(lack.statement, wrong, group)
    assert str(getattr(wrong, field)) not in str(caught.value)


def test_a_row_without_a_commitment_is_refused(lack: Case, backend: Group) -> None:
    # All weights and the offset zero: the commitment to the row is the identity, and the row lacks nothing.
    nothing = dataclasses.replace(lack.statement, weights=np.zeros(6, dtype=np.int64), offset=0)
    with pytest.raises(PointEncodingError, match="identity"):
        verify_lack(nothing, lack.proof, backend)
    identity = bytes([0xC0]) + bytes(47)
    statement = dataclasses.replace(lack.statement, commitments=(identity, *lack.statement.commitments[1:]))
    with pytest.raises(PointEncodingError, match="commitment 0"):
        verify_lack(statement, lack.proof, backend)
    with pytest.raises(PointEncodingError, match="commitment 0"):
        prove_lack(statement, lack.witness, backend)


def test_a_row_of_collateral_alone(group: Group) -> None:
    # Its blinding is zero: the proof says what everybody knows.
    commitments, _ = commit_values(VALUES, SECRET, CONTEXT, group)
    statement = LackStatement(commitments, np.zeros(6, dtype=np.int64), -7, 10, 5, CONTEXT)
    verify_lack(statement, prove_lack(statement, RowOpening(-7, 0), group), group)


def test_it_waits_in_the_queue_with_others(lack: Case, breach: Case, group: Group) -> None:
    queue = VerificationQueue(group)
    claims = [Claim(case.statement, case.proof) for case in (lack, breach, lack)]
    queue.verify(claims)
    other = dataclasses.replace(lack.statement, top_up=75)
    with pytest.raises(BatchInvalid) as caught:
        queue.verify([*claims, Claim(other, lack.proof)])
    assert {index: type(error) for index, error in caught.value.culprits.items()} == {3: LackProofInvalid}
    known: dict[bytes, Any] = {}
    verify_batch(claims, group, known)
    # The row's own commitment is of no use to another statement.
    assert set(lack.statement.commitments) <= set(known)
    assert group.encode_point(lack.statement.row_point(group)) not in known


FIELDS: dict[str, Any] = {
    "commitments": (bytes(48),),
    "weights": np.zeros(1, dtype=np.int64),
    "offset": 0,
    "top_up": 8,
    "step": 4,
    "context": {"run": "1"},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros((1, 1), dtype=np.int64)}, "one-dimensional"),
        ({"weights": [0]}, "one-dimensional"),
        ({"weights": np.zeros(1)}, "array of int64"),
        ({"weights": np.zeros(2, dtype=np.int64)}, "shape 1 x 2"),
        ({"weights": np.array([2**48])}, "coarsen the unit"),
        ({"offset": 2**48}, r"offsets\[0\]"),
        ({"offset": 0.5}, r"offsets\[0\] is an int here"),
        ({"step": 0}, "step is 0"),
        ({"step": -4}, "step is -4"),
        ({"step": 2**48}, "step is 281474976710656"),
        ({"step": True}, "step is an int here"),
        ({"top_up": 0}, "top_up is 0"),
        ({"top_up": -4}, "top_up is -4"),
        ({"top_up": 2**48}, "top_up is 281474976710656"),
        ({"top_up": 9}, "top_up is 9: it is a positive multiple of the step, 4"),
        ({"top_up": 3}, "a positive multiple of the step, 4"),
        ({"commitments": (bytes(47),)}, "not 48 bytes"),
        ({"commitments": ()}, "got 0 commitments"),
        ({"context": {}}, "context names"),
        ({"context": {module.LABEL: "1"}}, "the label 'lack statement' of the context is taken"),
        ({"context": {"run": "1" * 65_500}}, "context takes"),
    ],
)
def test_statements_outside_the_limits_cannot_be_made(change: dict[str, Any], message: str) -> None:
    LackStatement(**FIELDS)
    with pytest.raises(StatementError, match=message):
        LackStatement(**{**FIELDS, **change})


def test_what_was_checked_is_what_is_proved(lack: Case) -> None:
    weights = np.zeros(1, dtype=np.int64)
    statement = LackStatement(**{**FIELDS, "weights": weights})
    weights[0] = 5
    assert statement.weights.tolist() == [0]
    with pytest.raises(ValueError, match="read-only"):
        statement.weights[0] = 5
