"""Openings of whole processes on loopback, in which nobody deviates."""

import random

import pytest

from atomic_margin.service.custodian.engine.errors import EngineTaskInvalid, ShareMismatch
from atomic_margin.service.custodian.engine.run import run_engine
from atomic_margin.service.custodian.engine.task import Verdict
from atomic_margin.service.protocol.signing import Identity
from tests.service.custodian.engine.present import changed, present, together

COVERED = Verdict(breach=False)


def test_a_breach_is_found_with_the_rows_that_are_least() -> None:
    # Two of four, one of which is absent.
    found = together(present((1, 3, 4), 2, (5, -3, 7, -9, 0), (2, -40, 1)))
    assert found == [Verdict(True, 3, 1)] * 3


def test_an_identity_is_that_of_the_point() -> None:
    with pytest.raises(EngineTaskInvalid, match="the identity of point 1"):
        run_engine(present((1, 2, 3), 2, (1,), (1,))[0].task, Identity.generate())


@pytest.mark.long
@pytest.mark.parametrize(
    ("points", "threshold"),
    [((1, 3, 65_535), 2), ((1, 2, 3, 4), 2), ((2, 3, 5, 60, 700), 3), ((2, 3, 5, 60, 700, 701), 3)],
)
def test_a_covered_book_says_nothing_but_that(points: tuple[int, ...], threshold: int) -> None:
    top, bottom = (1 << 35) - 1, -(1 << 35)
    found = together(present(points, threshold, (0, top, 1, 0), (bottom, -1), bits=36))
    assert found == [COVERED] * len(points)


@pytest.mark.long
@pytest.mark.parametrize(
    ("maintenance", "initial", "rows"),
    [
        ((-1,), (0,), (0, 0)),
        ((-1, -1, -1), (3, 3, 3, 3), (0, 0)),
        ((4, -2, 9, -2, -2), (5, 1, 1), (1, 1)),
        # As far apart as numbers of so many bits are.
        (((1 << 47) - 1, -(1 << 47), -(1 << 47)), (-(1 << 47), (1 << 47) - 1), (1, 0)),
        (((1 << 47) - 1, 0, -1), ((1 << 47) - 1, (1 << 47) - 2, (1 << 47) - 1), (2, 1)),
    ],
)
def test_the_lowest_of_equal_rows_is_named_and_extremes_are_compared(
    maintenance: tuple[int, ...], initial: tuple[int, ...], rows: tuple[int, int]
) -> None:
    assert together(present((1, 2, 4), 2, maintenance, initial, bits=48)) == [Verdict(True, *rows)] * 3


@pytest.mark.long
def test_the_largest_task_is_opened() -> None:
    rng = random.Random(3)
    maintenance, initial = ([rng.randrange(-(1 << 47), 1 << 47) for _ in range(256)] for _ in range(2))
    expected = Verdict(True, maintenance.index(min(maintenance)), initial.index(min(initial)))
    assert together(present((1, 2, 3), 2, maintenance, initial, bits=48, seconds=120)) == [expected] * 3


@pytest.mark.long
def test_sixteen_open_together() -> None:
    found = together(present(tuple(range(1, 17)), 8, (3, -3), (1,), seconds=120))
    assert found == [Verdict(True, 1, 0)] * 16


@pytest.mark.long
@pytest.mark.parametrize("place", [0, 1, 2])
def test_shares_of_another_row_are_noticed_whoever_has_them(place: int) -> None:
    custodians = present((1, 2, 4), 2, (5, 6), (7,))
    own = custodians[place].task
    custodians[place] = changed(custodians[place], maintenance=(own.maintenance[1], own.maintenance[1]))
    for error in together(custodians):
        assert isinstance(error, ShareMismatch)
