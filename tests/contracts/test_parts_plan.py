"""How answers are cut into parts: within the gas that is given, in as few parts as can be."""

from dataclasses import replace

import pytest

from atomic_margin.contracts.errors import PartsError
from atomic_margin.contracts.parts import (
    BUDGET,
    MAX_SLICES,
    Answer,
    Claim,
    Part,
    Plan,
    Proven,
    multiplication_gas,
    plan,
    point_count,
    proven,
    recording_gas,
    settling_gas,
)

from .cases import Case

BREACH = Proven(bytes(10_000), b"\x01" * 1_000, points=300, work=400_000)
TOP_UP = Proven(bytes(10_000), b"\x01" * 10_000, points=4_000, work=1_000_000)
ANSWER = Answer(BREACH, TOP_UP)


def test_parts_are_all_slices_but_the_last_ones() -> None:
    assert list(Plan(1, 1).parts()) == []
    assert list(Plan(2, 3).parts()) == [
        Part(Claim.BREACH, 0, 2),
        Part(Claim.TOP_UP, 0, 3),
        Part(Claim.TOP_UP, 1, 3),
    ]


def test_calldata_is_paid_for_by_the_byte() -> None:
    assert BREACH.calldata_gas == 4 * 10_000 + 16 * 1_000


def test_the_multiplication_is_priced_as_the_precompile_prices_it() -> None:
    assert multiplication_gas(1) == 12_000
    assert multiplication_gas(4_000) == 4_000 * 12_000 * 519 // 1000
    assert TOP_UP.gas(3) == 1_000_000 + multiplication_gas(1_334)


def test_a_plan_has_the_fewest_parts_that_fit() -> None:
    assert plan(ANSWER, 2**60) == Plan(1, 1)
    made = plan(ANSWER)
    assert made == Plan(1, 3)
    for part in made.parts():
        assert recording_gas(ANSWER, part) <= BUDGET
    assert settling_gas(ANSWER, made) <= BUDGET
    assert settling_gas(ANSWER, Plan(1, 2)) > BUDGET
    # A large breach is cut too.
    large = Answer(replace(BREACH, points=4_000), TOP_UP)
    assert plan(large).breach_slices > 1
    assert settling_gas(large, plan(large)) <= BUDGET


def test_what_no_plan_fits_is_said() -> None:
    with pytest.raises(PartsError, match=f"no {MAX_SLICES} slices of each proof fit transactions of 1,000,000 gas"):
        plan(ANSWER, 1_000_000)
    with pytest.raises(PartsError, match="prove fewer rows or entries"):
        plan(Answer(BREACH, replace(TOP_UP, work=BUDGET)))


def test_points_are_counted_as_they_are_multiplied(small_sufficiency: Case, small_breach: Case) -> None:
    # G, H, 36 bits of both vectors, four entries, A, S, T1, T2 and two rounds.
    assert point_count(small_sufficiency.statement) == 2 + 72 + 4 + 4 + 4
    # G, H, 18 bits of both, four entries, W, three rows, A, S, T1, T2 and one round.
    assert point_count(small_breach.statement) == 2 + 36 + 4 + 1 + 3 + 4 + 2
    made = proven(small_sufficiency.statement, small_sufficiency.proof)
    assert (made.statement, made.proof) == small_sufficiency.calldata
