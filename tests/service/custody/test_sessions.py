"""Who computes together next: rules, without an operator."""

import pytest

from atomic_margin.service.operator.custody.sessions import Part, Session, chosen

FIRST = Session(1, (1, 2, 3))


def next_of(*parts: Part, session: Session | None = None, over: bool = False) -> tuple[int, ...] | None:
    return chosen(parts, session, present=3, threshold=2, over=over)


def test_the_first_session_is_of_the_lowest_points_that_agreed() -> None:
    assert next_of(Part(9), Part(2)) is None
    assert next_of(Part(9), Part(2), Part(4)) == (2, 4, 9)
    assert next_of(Part(9), Part(2), Part(4), Part(1)) == (1, 2, 4)


@pytest.mark.parametrize("said", [(), (1,), (4,), (4, 5)], ids=str)
def test_fewer_than_have_a_book_together_end_no_session(said: tuple[int, ...]) -> None:
    """Nor do those that do not compute in it."""
    parts = [Part(point, gave_up=int(point in said)) for point in (1, 2, 3, 4, 5)]
    assert next_of(*parts, session=FIRST) is None


def test_whoever_did_not_fail_comes_first_and_whoever_is_silent_comes_last() -> None:
    parts = [Part(1, gave_up=1), Part(2), Part(3, gave_up=1), Part(4), Part(5), Part(6)]
    assert next_of(*parts, session=FIRST) == (4, 5, 6)
    assert next_of(*parts[:5], session=FIRST) == (1, 4, 5)
    assert next_of(*parts[:4], session=FIRST) == (1, 3, 4)
    # The one that says nothing is not waited for, unless the time is over and there are no others.
    assert next_of(*parts[:3], session=FIRST) is None
    assert next_of(*parts[:3], session=FIRST, over=True) == (1, 2, 3)


def test_what_failed_in_an_earlier_session_counts_in_later_ones() -> None:
    parts = [Part(1, failed=2), Part(2, gave_up=2), Part(4, gave_up=2), Part(5), Part(3, failed=1)]
    assert next_of(*parts, session=Session(2, (2, 4, 5))) == (2, 3, 4)


def test_with_its_time_over_a_session_goes_on_only_with_enough() -> None:
    assert next_of(Part(1), Part(2), session=FIRST, over=True) is None


@pytest.mark.parametrize("deviates", [1, 2, 3, 4])
def test_who_deviates_in_secret_is_left_out_once(deviates: int) -> None:
    """It has every session come to nothing, and says so as soon as anybody; the slower of the honest ones say it last.

    The three others are as many as it takes, and compute before the same custodians do once more.
    """
    parts = {point: Part(point) for point in (1, 2, 3, 4)}
    tried = [(1, 2, 3)]
    while deviates in tried[-1]:
        number, found = len(tried), None
        session = Session(number, tried[-1])
        for point in sorted(session.present, key=lambda point: (point != deviates, point)):
            parts[point] = parts[point]._replace(gave_up=number)
            found = chosen(list(parts.values()), session, present=3, threshold=2, over=False, tried=tried)
            if found is not None:
                break
        assert found is not None
        for point in session.present:
            failed = parts[point].failed + (1 if parts[point].gave_up == number else 2)
            parts[point] = parts[point]._replace(failed=failed)
        assert found not in tried
        tried.append(found)
    assert len(tried) <= 4
