"""Whoever has opened one row proves a breach with it alone, and nobody can tell that it knew no more, or which row."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import BatchInvalid, BreachStatement, Claim, load_group, verify_batch, verify_breach
from atomic_margin.zk.choice import ChoiceProof, choice_bytes
from atomic_margin.zk.errors import BreachProofInvalid, PointEncodingError, WitnessError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.breach import argue_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.prove.opened_breach import prove_opened_breach
from atomic_margin.zk.prove.witness import BreachWitness
from atomic_margin.zk.sharing.open_row import RowOpening, open_row, share_row
from atomic_margin.zk.sharing.rows import Row

from .conftest import CONTEXT, SECRET, Case, windows
from .shared import book

SURPLUSES = (11, -9, 1)


def opening_of(statement: BreachStatement, witness: BreachWitness, row: int) -> RowOpening:
    weights = statement.weights[row].tolist()
    value = sum(weight * z for weight, z in zip(weights, witness.values, strict=True)) + statement.offsets[row]
    return RowOpening(value, sum(w * gamma for w, gamma in zip(weights, witness.blindings, strict=True)) % ORDER)


def sunk(group: Group) -> Case:
    """Every row is negative."""
    commitments, blindings = commit_values((3, 2), SECRET, CONTEXT, group)
    rows = np.array([[-1, 0], [0, -1], [-1, -1]], dtype=np.int64)
    return Case(BreachStatement(commitments, rows, (1, -1, 0), 4, CONTEXT), BreachWitness((3, 2), blindings), b"")


def test_a_breach_is_proved_of_shares_of_one_row(backend: Group) -> None:
    weights = np.array([[1, 1, 1, 1, 1], [-10, 4, -1, 0, 3]], dtype=np.int64)
    statement = BreachStatement(book().statement.commitments, weights, (0, 20), 10, CONTEXT)
    row = Row(book().deal, tuple(weights[1].tolist()), 20)
    opening = open_row(row, [share_row(row, one) for one in book().shares[:3]], backend)
    proof = prove_opened_breach(statement, 1, opening, backend)
    verify_breach(statement, proof, backend)
    verify_batch([Claim(statement, proof)], backend)


def test_one_backend_proves_for_the_other(breach: Case, backend: Group) -> None:
    opening = opening_of(breach.statement, breach.witness, 1)
    for other in map(load_group, ("arkworks", "reference")):
        verify_breach(breach.statement, prove_opened_breach(breach.statement, 1, opening, backend), other)


def test_the_proof_is_byte_by_byte_that_of_who_knows_all_entries(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    # With the same nonces: what the two make has the same distribution, so neither says who made it.
    case = sunk(group)
    drawn: Iterator[int]

    def integers(_: NonceStream, count: int) -> list[int]:
        return [next(drawn) for _ in range(count)]

    monkeypatch.setattr(NonceStream, "integers", integers)
    for row, surplus in enumerate((-2, -3, -5)):
        opening = opening_of(case.statement, case.witness, row)
        assert opening.value == surplus
        drawn = iter(range(1000, 10000))
        closed = prove_opened_breach(case.statement, row, opening, group)
        drawn = iter(range(1000, 10000))
        assert closed == argue_breach(case.statement, case.witness, (-2, -3, -5), row, group)
        verify_breach(case.statement, closed, group)


def test_the_proof_hides_the_row(group: Group) -> None:
    case = sunk(group)
    openings = [opening_of(case.statement, case.witness, row) for row in range(3)]
    proofs = [prove_opened_breach(case.statement, row, opening, group) for row, opening in enumerate(openings)]
    assert len({len(proof) for proof in proofs}) == 1
    parts = [windows(proof) for proof in proofs]
    assert not parts[0] & parts[1]
    assert not parts[1] & parts[2]
    assert not parts[0] & parts[2]
    # Every row's equation holds, the simulated ones too: z_r H = T_r + e_r (W - C_r).
    bases = load_generators(group, 0)
    for proof in proofs:
        verify_breach(case.statement, proof, group)
        choice = ChoiceProof.from_bytes(proof[1 : 1 + choice_bytes(3)], 3)
        W, *announcements = map(group.decode_point, (choice.W, *choice.announcements))
        for row in range(2):
            opening = openings[row]
            e, z = (int.from_bytes(part[row], "big") for part in (choice.shares, choice.responses))
            points = [bases.blinding, announcements[row], W, bases.value, bases.blinding]
            scalars = group.scalars((z, -1, -e, e * opening.value, e * opening.blinding))
            assert group.msm(points, scalars) == group.identity()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whatever_row_is_negative_can_be_proved_and_no_other(data: st.DataObject) -> None:
    group = load_group("arkworks")
    entries, rows = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    values = tuple(data.draw(st.lists(st.integers(0, 31), min_size=entries, max_size=entries)))
    line = st.lists(st.integers(-(2**40), 2**40) | st.integers(-9, 9), min_size=entries, max_size=entries)
    weights = np.array(data.draw(st.lists(line, min_size=rows, max_size=rows)), dtype=np.int64)
    bits, row = data.draw(st.integers(1, 40)), data.draw(st.integers(0, rows - 1))
    wanted = [data.draw(st.sampled_from([-(2**bits) - 1, -(2**bits), -1, 0, 1, 2**bits])) for _ in range(rows)]
    profits = [sum(w * z for w, z in zip(numbers, values, strict=True)) for numbers in weights.tolist()]
    offsets = tuple(target - profit for target, profit in zip(wanted, profits, strict=True))
    commitments, blindings = commit_values(values, SECRET, CONTEXT, group)
    statement = BreachStatement(commitments, weights, offsets, bits, CONTEXT)
    opening = opening_of(statement, BreachWitness(values, blindings), row)
    if -(2**bits) <= wanted[row] < 0:
        verify_breach(statement, prove_opened_breach(statement, row, opening, group), group)
    else:
        with pytest.raises(WitnessError, match=f"row {row} is not negative" if wanted[row] >= 0 else "takes more than"):
            prove_opened_breach(statement, row, opening, group)


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_that_is_not_negative_is_refused(breach: Case, group: Group, row: int) -> None:
    with pytest.raises(WitnessError, match=f"row {row} is not negative") as caught:
        prove_opened_breach(breach.statement, row, opening_of(breach.statement, breach.witness, row), group)
    assert str(SURPLUSES[row]) not in str(caught.value).replace(f"row {row}", "")


def test_zero_is_not_negative(breach: Case, group: Group) -> None:
    offsets = (breach.statement.offsets[0], -2, breach.statement.offsets[2])
    statement = dataclasses.replace(breach.statement, offsets=offsets)
    with pytest.raises(WitnessError, match="row 1 is not negative"):
        prove_opened_breach(statement, 1, opening_of(statement, breach.witness, 1), group)


def test_too_large_a_shortfall_is_refused(breach: Case, group: Group) -> None:
    opening = opening_of(breach.statement, breach.witness, 1)
    narrow = dataclasses.replace(breach.statement, bits=3)
    with pytest.raises(WitnessError, match="row 1 takes more than 3 bits"):
        prove_opened_breach(narrow, 1, opening, group)
    verify_breach(
        wide := dataclasses.replace(breach.statement, bits=4), prove_opened_breach(wide, 1, opening, group), group
    )


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_is_not_there_is_refused(breach: Case, group: Group, row: int) -> None:
    with pytest.raises(WitnessError, match=f"no row {row}: the statement has rows 0 to 2"):
        prove_opened_breach(breach.statement, row, opening_of(breach.statement, breach.witness, 1), group)


def wrong(opening: RowOpening) -> Sequence[tuple[int, RowOpening]]:
    return (
        (1, dataclasses.replace(opening, value=opening.value - 1)),
        (1, dataclasses.replace(opening, blinding=opening.blinding + 1)),
        # The right opening, of another row.
        (0, opening),
        (2, opening),
    )


@pytest.mark.parametrize("index", range(4))
def test_an_opening_of_something_else_is_refused(breach: Case, group: Group, index: int) -> None:
    row, opening = wrong(opening_of(breach.statement, breach.witness, 1))[index]
    with pytest.raises(WitnessError, match="not that of the row") as caught:
        prove_opened_breach(breach.statement, row, opening, group)
    assert str(opening.value) not in str(caught.value)


def test_what_was_opened_in_another_book_is_refused(breach: Case, group: Group) -> None:
    others, _ = commit_values(breach.witness.values, SECRET, {"institution": "another"}, group)
    statement = dataclasses.replace(breach.statement, commitments=others)
    with pytest.raises(WitnessError, match="not that of the row"):
        prove_opened_breach(statement, 1, opening_of(breach.statement, breach.witness, 1), group)


def test_commitments_are_decoded_with_care(breach: Case, group: Group) -> None:
    identity = bytes([0xC0]) + bytes(47)
    statement = dataclasses.replace(breach.statement, commitments=(identity, *breach.statement.commitments[1:]))
    with pytest.raises(PointEncodingError, match="commitment 0"):
        prove_opened_breach(statement, 1, opening_of(breach.statement, breach.witness, 1), group)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: {"context": {**s.context, "run": "another"}}, id="context"),
        pytest.param(lambda s: {"commitments": s.commitments[::-1]}, id="commitments"),
        pytest.param(lambda s: {"offsets": (s.offsets[0] + 1, *s.offsets[1:])}, id="offset of a row not chosen"),
        pytest.param(lambda s: {"weights": s.weights[[2, 1, 0]]}, id="rows not chosen swapped"),
    ],
)
def test_the_proof_is_of_its_statement(breach: Case, group: Group, change: Any) -> None:
    proof = prove_opened_breach(breach.statement, 1, opening_of(breach.statement, breach.witness, 1), group)
    other = dataclasses.replace(breach.statement, **change(breach.statement))
    with pytest.raises(BreachProofInvalid):
        verify_breach(other, proof, group)
    with pytest.raises(BatchInvalid) as caught:
        verify_batch([Claim(breach.statement, breach.proof), Claim(other, proof)], group)
    assert list(caught.value.culprits) == [1]
