"""Gains in the account machine: what a book is compared with, at which prices, and how much it may have gained more."""

import pytest

from atomic_margin.service.protocol.account.books import KEPT_UNIVERSES, compared_with
from atomic_margin.service.protocol.account.errors import (
    AllowanceExceeded,
    RunNotOver,
    WrongBook,
    WrongTick,
    WrongUniverse,
)
from atomic_margin.service.protocol.account.values import day_of_time

from .documents import TIME, named
from .story import booked, covered, owed, recorded, refuses

DAY = day_of_time(TIME)


def test_a_first_book_is_compared_with_nothing_and_the_next_with_it() -> None:
    parties = booked()
    first = parties.state.public.book
    assert first is not None
    assert parties.entries[-1][1].body["gain"].get("before") is None
    for before in (named("another"), None):
        document = parties.submission(2, "b")
        gain = {**document.body["gain"]} | ({} if before is None else {"before": before})
        if before is None:
            del gain["before"]
        other = parties.institution.sign("submission", {**document.body, "gain": gain})
        refuses(parties, other, WrongBook, "compared with another book than the one it takes the place of")
    second = parties.enter(parties.submission(2, "b"))
    assert second.body["gain"]["before"] == first.submission


def test_a_book_is_compared_with_the_one_that_waits_and_itself_under_new_keys() -> None:
    parties = recorded()
    in_force = parties.state.public.book
    waiting = parties.enter(parties.submission(2, "b")).body_hash()
    third = parties.submission(3, "c")
    assert third.body["gain"]["before"] == waiting
    assert in_force is not None
    assert compared_with(parties.state.public, in_force.commitments) == in_force
    assert compared_with(parties.state.public, named("other")) == parties.state.public.waiting
    # The book in force again, compared with the one that waits, is not the same book again.
    again = parties.submission(3, "a", before=waiting)
    refuses(parties, again, WrongBook, "compared with another book")


@pytest.mark.parametrize("change", [{"price_sequence": "0"}, {"tick": named("tick 9")}])
def test_a_gain_is_counted_at_the_newest_tick(change: dict[str, str]) -> None:
    parties = covered()
    refuses(parties, parties.submission(2, "b", **change), WrongTick, "the newest is 1")
    late = parties.submission(2, "b")
    parties.tick()
    refuses(parties, late, WrongTick, "its gain is counted at tick 1, the newest is 2")
    parties.tick(void=True)
    # A void tick has no prices: those before it are the newest.
    assert parties.submission(2, "b").body["gain"]["price_sequence"] == "2"


def test_allowances_are_used_up_by_submission_and_by_day() -> None:
    """100 a submission and 250 a day in these accounts."""
    parties = covered()
    refuses(parties, parties.submission(2, "b", allowance="101"), AllowanceExceeded, "may have gained 100 USD more")
    parties.enter(parties.submission(2, "b", allowance="100"))
    parties.enter(parties.submission(3, "c", allowance="100"))
    refuses(parties, parties.submission(4, "d", allowance="51"), AllowanceExceeded, "and 200 are used")
    parties.enter(parties.submission(4, "d", allowance="50"))
    refuses(parties, parties.submission(5, "e", allowance="1"), AllowanceExceeded, "and 250 are used")
    parties.enter(parties.submission(5, "e"))
    assert parties.state.public.gained == 250
    parties.enter(parties.submission(6, "f", day="2", allowance="100"))
    assert (parties.state.public.gain_day, parties.state.public.gained) == (2, 100)
    refuses(parties, parties.submission(7, "g", day="1"), WrongTick, "on a day before that of the last submission")


def test_a_refused_book_uses_nothing_up() -> None:
    parties = recorded()
    parties.enter(parties.submission(2, "flat", allowance="100"))
    parties.tick()
    refuses(parties, parties.submission(3, "other", allowance="100"), RunNotOver, "waits for the end of a run")
    assert parties.state.public.gained == 100


def test_a_revision_lists_a_universe_and_ends_the_one_before() -> None:
    parties = covered()
    parties.enter(parties.revision(2))
    first, second = parties.state.public.universes
    assert (first.universe, first.until, second.universe, second.until) == (
        named("universe"), DAY, named("universe", 2), None,
    )  # fmt: skip
    other = parties.revision(3).body | {"before": named("universe")}
    refuses(parties, parties.operator.sign("universe-revision", other), WrongUniverse, "another universe is the newest")
    again = parties.revision(3).body | {"universe": named("universe")}
    refuses(parties, parties.operator.sign("universe-revision", again), WrongUniverse, "in that universe before")
    # Another end never comes later than the first.
    parties.enter(parties.revision(3, until="2030-01-01T00:00:00Z"))
    assert [one.until for one in parties.state.public.universes] == [DAY, day_of_time("2030-01-01T00:00:00Z"), None]
    for number in range(4, 15):
        parties.enter(parties.revision(number))
    assert len(parties.state.public.universes) == KEPT_UNIVERSES


def test_a_book_is_in_a_listed_universe_until_that_ends() -> None:
    parties = covered()
    parties.universe = named("universe", 2)
    refuses(parties, parties.submission(2, "b"), WrongUniverse, "not listed for the account")
    parties.enter(parties.revision(2))
    assert parties.enter(parties.submission(2, "b")).body["universe"] == named("universe", 2)
    parties.universe = named("universe")
    late = parties.submission(3, "c", day=str(DAY + 1))
    refuses(parties, late, WrongUniverse, "the universe of the book is over")
    parties.enter(parties.submission(3, "c", day=str(DAY)))
    assert parties.state.public.book is not None
    assert parties.state.public.book.universe == named("universe")


def test_what_is_owed_stays_in_its_universe_beyond_the_end() -> None:
    """No revision changes a book that has to be proven: the same commitments come under new keys, no others do."""
    parties = owed()
    parties.enter(parties.revision(2))
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    day = str(DAY + 1)
    refuses(parties, parties.submission(2, "b", keys=2, day=day), WrongUniverse, "the universe of the book is over")
    parties.enter(parties.submission(2, "a", keys=2, day=day))
    book = parties.state.public.book
    assert book is not None
    assert (book.universe, book.commitments) == (named("universe"), parties.state.public.owed)
    parties.universe = named("universe", 2)
    parties.enter(parties.submission(3, "b", keys=2, day=day))
    public = parties.state.public
    assert public.waiting is not None
    assert (public.status, public.waiting.universe, public.owed) == ("frozen", named("universe", 2), book.commitments)


def test_other_columns_make_another_book() -> None:
    parties = owed()
    parties.entry_map = named("another map")
    parties.enter(parties.submission(2, "a"))
    public = parties.state.public
    assert public.waiting is not None
    assert public.waiting.commitments != public.owed
