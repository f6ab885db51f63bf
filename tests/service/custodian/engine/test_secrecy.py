"""What a custodian that only looks gets to see: everything that is opened, in a real opening of three."""

import json
from pathlib import Path

import pytest

from atomic_margin.margin.rows.active_pieces import Maxima, Piece, Tail
from atomic_margin.service.custodian.engine.comparing import MASK_BITS
from atomic_margin.service.custodian.engine.slack import Shape
from atomic_margin.service.custodian.engine.task import Verdict
from atomic_margin.zk.groups import ORDER
from tests.service.custodian.engine.present import Deviating, present, together

BITS = 20
Opened = list[tuple[int, int, list[int]]]


def opened(
    maintenance: tuple[int, ...],
    initial: tuple[int, ...],
    path: Path,
    verdict: Verdict,
    slack: tuple[Shape, Shape] | None = None,
) -> Opened:
    """Of each opening: how many shares were put together, their degree, and what they are."""
    three = present((1, 2, 4), 2, maintenance, initial, bits=BITS, slack=slack)
    with Deviating(three[1], "look", marker=str(path)) as curious:
        assert together([three[0], three[2]]) == [verdict] * 2
        assert curious.said() == json.loads(json.dumps(verdict.to_fields()))
    return [(shares, degree, values) for shares, degree, values in json.loads(path.read_text())]


def is_masked(values: list[int], bits: int) -> bool:
    return all(value.bit_length() > bits + MASK_BITS - 20 for value in values)


def is_zero_or_random(values: list[int]) -> bool:
    return all(value == 0 or value.bit_length() > 200 for value in values)


@pytest.mark.long
def test_a_covered_book_opens_masks_zeros_and_one_bit(tmp_path: Path) -> None:
    seen = opened((5, 6, 0), (-7, 1), tmp_path / "seen", Verdict(breach=False))
    assert [len(values) for *_, values in seen] == [1, 3, 3, 1]
    test, masked, zeros, flag = (values for *_, values in seen)
    assert test == [0]
    assert is_masked(masked, BITS - 1)
    assert is_zero_or_random(zeros)
    assert flag == [0]


@pytest.mark.long
def test_a_breach_opens_two_indexes_besides(tmp_path: Path) -> None:
    seen = opened((5, -6, 0), (-7, 1), tmp_path / "seen", Verdict(True, 1, 0))
    values = [values for *_, values in seen]
    # Two levels: a pair of either table, then one of the first.
    assert [len(one) for one in values] == [1, 3, 3, 1, 2, 2, 1, 1, 2]
    assert (values[0], values[3], values[8]) == ([0], [1], [1, 0])
    assert all(is_masked(values[place], BITS - 1) for place in (1, 4, 6))
    assert all(is_zero_or_random(values[place]) for place in (2, 5, 7))


@pytest.mark.long
def test_what_is_opened_is_shared_below_the_threshold(tmp_path: Path) -> None:
    """A product that is opened as it is would be of twice the degree, and could be factored."""
    seen = opened((5, -6, 0), (-7, 1), tmp_path / "seen", Verdict(True, 1, 0))
    assert {(shares, degree) for shares, degree, _ in seen} == {(2, 1)}


KINKS = Maxima(((Piece(2, 1, 0), Piece(3, 1, 0)), (Piece(4, 1, 0),)), {0: ((0, -1),), 1: ((1, -1),)})
TAIL = Tail(0, (1, 2, 3, 4), 5, 2)


@pytest.mark.long
def test_a_covered_book_with_slack_opens_one_bit(tmp_path: Path) -> None:
    seen = opened((9, 9, -1, -2, -3), (-7, 1, 0, 0, 0), tmp_path / "seen", Verdict(breach=False), (KINKS, KINKS))
    *compared, (_, _, flag) = seen[1:]
    assert flag == [0]
    assert all(is_masked(values, BITS - 1) or is_zero_or_random(values) for *_, values in compared)
    assert {(shares, degree) for shares, degree, _ in seen} == {(2, 1)}


@pytest.mark.long
@pytest.mark.parametrize(
    ("shape", "verdict", "said"),
    [
        # The pieces of the two rows, and none of others.
        (KINKS, Verdict(True, 1, 1, (4,), (4,)), [[1, 1], [1], [1]]),
        # Of the tail no order: (x - 3) (x - 0), then the move that counts in part.
        (TAIL, Verdict(True, 0, 0, (1, 4, 3), (1, 4, 3)), [[0, 0], [0, -3, 2], [0, -3, 2]]),
    ],
)
def test_a_breach_with_slack_opens_what_certifies_two_rows(
    shape: Shape, verdict: Verdict, said: list[list[int]], tmp_path: Path
) -> None:
    rows = (1, -2, 4, -5, -7) if shape is KINKS else (-2, -9, 4, -5, -7)
    seen = opened(rows, rows, tmp_path / "seen", verdict, (shape, shape))
    assert {(shares, degree) for shares, degree, _ in seen} == {(2, 1)}
    plain = [values for *_, values in seen[1:] if not is_masked(values, BITS - 1) and not is_zero_or_random(values)]
    # A row is alone in its matrix of a tail; [0, 0] looks like a test for zero.
    known = [[value % ORDER for value in values] for values in said if any(values)]
    assert plain == [[1], *known]
