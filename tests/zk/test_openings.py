"""Commitments from tables are those by multiplication, and openings of many are checked like those of a few."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import load_generators, load_group
from atomic_margin.zk.bits.witness import check_openings
from atomic_margin.zk.errors import PointEncodingError, WitnessError
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.openings import TABLE_FROM, FixedBase, commit_all

EDGES = (0, 1, 255, 256, 257, 2**248 - 1, 2**255, ORDER - 1, ORDER, ORDER + 1, -1, -ORDER)


@pytest.fixture(scope="module")
def table(group: Group) -> FixedBase:
    return FixedBase(group, load_generators(group, 0).blinding)


@settings(max_examples=60, deadline=None)
@given(value=st.integers(-(2**260), 2**260) | st.sampled_from(EDGES))
def test_a_table_multiplies(table: FixedBase, value: int) -> None:
    group = load_group("arkworks")
    expected = group.multiply(load_generators(group, 0).blinding, group.scalar(value))
    assert table.multiply(value) == expected


@settings(max_examples=10, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(st.integers(-(2**48), 2**48) | st.sampled_from(EDGES), st.integers(0, ORDER - 1)),
        min_size=TABLE_FROM,
        max_size=TABLE_FROM + 8,
    )
)
def test_many_commitments_are_those_made_one_by_one(pairs: list[tuple[int, int]]) -> None:
    group = load_group("arkworks")
    values, blindings = zip(*pairs, strict=True)
    one_by_one = tuple(commit_all(group, (value,), (blinding,))[0] for value, blinding in pairs)
    assert commit_all(group, values, blindings) == one_by_one


def test_the_reference_has_the_same_tables(group: Group) -> None:
    values, blindings = [3] * TABLE_FROM, list(range(1, TABLE_FROM + 1))
    assert commit_all(load_group("reference"), values, blindings) == commit_all(group, values, blindings)


def test_unequal_lengths_are_refused(group: Group) -> None:
    for count in (1, TABLE_FROM):
        with pytest.raises(ValueError, match="shorter"):
            commit_all(group, [1] * (count + 1), [1] * count)


@pytest.mark.parametrize("count", [TABLE_FROM - 1, TABLE_FROM, TABLE_FROM + 1])
def test_a_wrong_opening_is_named(group: Group, count: int) -> None:
    values, blindings = list(range(count)), list(range(1, count + 1))
    commitments = commit_all(group, values, blindings)
    check_openings(commitments, values, blindings, group)
    for wrong in (
        (commitments, [*values[:-1], -1], blindings),
        (commitments, values, [*blindings[:-1], 0]),
        ((*commitments[:-1], commitments[0]), values, blindings),
    ):
        with pytest.raises(WitnessError, match=f"commitment {count - 1} does not open"):
            check_openings(*wrong, group)
    # The identity opens to nothing and 0, and hides nothing.
    hidden = commit_all(group, [*values[:-1], 0], [*blindings[:-1], 0])
    with pytest.raises(PointEncodingError, match=f"commitment {count - 1}: the identity"):
        check_openings(hidden, [*values[:-1], 0], [*blindings[:-1], 0], group)
