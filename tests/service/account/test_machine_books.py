"""Rules of keys and books: what replaces what, and what waits."""

from collections.abc import Callable

import pytest

from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.protocol.account.errors import (
    NotCovered,
    OutOfSequence,
    RunNotOver,
    WrongBook,
    WrongKeys,
    WrongTick,
)  # fmt: skip
from atomic_margin.service.protocol.account.state import Book
from atomic_margin.service.protocol.account.values import is_due

from .documents import Parties, named
from .story import asked, booked, breached, covered, evaluating, not_proven, owed, recorded, refuses, void


def book(parties: Parties) -> Book:
    found = parties.state.public.book
    assert found is not None
    return found


def waiting(parties: Parties) -> Book:
    found = parties.state.public.waiting
    assert found is not None
    return found


# Keys


def test_keys_come_in_sequence_are_confirmed_and_then_wanted() -> None:
    parties = covered()
    for sequence in (0, 1):
        refuses(parties, parties.enrolment(sequence), OutOfSequence, "the last key sequence number was 1")
    refuses(parties, parties.confirmation(1), WrongKeys, "no known-answer test is open")
    parties.enter(parties.enrolment(3))  # an enrolment may have been lost before
    assert (parties.state.public.pending, parties.state.public.keys) == (named("keys", 3), named("keys", 1))
    refuses(parties, parties.confirmation(1), WrongKeys, "no known-answer test is open")
    refuses(parties, parties.submission(2, "b", keys=3), WrongKeys, "other evaluation keys")
    parties.enter(parties.enrolment(4))
    refuses(parties, parties.confirmation(3), WrongKeys, "no known-answer test is open")
    parties.enter(parties.confirmation(4))
    assert (parties.state.public.pending, parties.state.public.keys) == (None, named("keys", 4))
    refuses(parties, parties.submission(2, "b", keys=1), WrongKeys, "other evaluation keys")
    parties.enter(parties.submission(2, "b", keys=4))
    assert book(parties).evaluation_keys == named("keys", 4)


# Books


def test_submissions_come_in_sequence() -> None:
    parties = covered()
    for sequence in (0, 1, 3):
        refuses(parties, parties.submission(sequence, "b"), OutOfSequence, "the next submission sequence number is 2")
    parties.enter(parties.submission(2, "b"))
    refuses(parties, parties.submission(2, "b"), OutOfSequence, "is 3, got 2")


def test_a_book_between_ticks_is_in_force_at_once_not_covered_and_run_from_the_next_tick_on() -> None:
    parties = covered()
    parties.enter(parties.submission(2, "b"))
    assert (book(parties).sequence, book(parties).tick, book(parties).covered) == (2, 1, None)
    assert parties.state.public.waiting is None
    assert not is_due(parties.state, parties.at)
    parties.tick()
    assert is_due(parties.state, parties.at)


PINNED: list[Callable[[], Parties]] = [
    booked, evaluating, recorded, owed, breached, asked, not_proven, void,
]  # fmt: skip


@pytest.mark.parametrize("stage", PINNED)
def test_another_book_waits_while_the_one_in_force_is_to_be_proven(stage: Callable[[], Parties]) -> None:
    parties = stage()
    before = book(parties)
    parties.enter(parties.submission(2, "b"))
    assert (book(parties), waiting(parties).sequence, waiting(parties).tick) == (before, 2, 1)
    # The last one that comes is the one that waits.
    parties.enter(parties.submission(3, "c"))
    assert (book(parties), waiting(parties).sequence) == (before, 3)
    parties.tick()
    if stage is booked:
        # No run of the one in force had begun: the one that waited is to be run at this tick, and the next one waits.
        parties.enter(parties.submission(4, "d"))
        assert (book(parties).sequence, waiting(parties).sequence, waiting(parties).tick) == (3, 4, 2)
        return
    parties.enter(parties.submission(4, "c"))
    # The same commitments once more have waited since they came, and are to be run before what comes now.
    assert (waiting(parties).sequence, waiting(parties).tick) == (4, 1)
    refuses(parties, parties.submission(5, "d"), RunNotOver, "came at tick 1 waits for the end of a run")


def test_a_book_that_comes_after_the_first_prices_of_a_tick_is_not_run_at_it() -> None:
    """Who has seen prices brings no other book for them: the one that was there before is run."""
    parties = covered()
    first = book(parties)
    parties.receipted = True
    other = parties.enter(parties.submission(2, "b"))
    assert (book(parties), waiting(parties).sequence, waiting(parties).tick) == (first, 2, 2)
    parties.tick()
    assert is_due(parties.state, parties.at)
    for kind in (parties.run_opened, parties.coverage):
        refuses(parties, kind(submission=other.body_hash()), WrongBook, "another submission|another book")
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    assert parties.run.submission == first.submission
    parties.enter(parties.answer("covered"))
    assert (book(parties).sequence, book(parties).tick, parties.state.public.waiting) == (2, 2, None)
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "not proven covered since it came")
    parties.tick()
    parties.enter(parties.run_opened())
    assert parties.run.submission == other.body_hash()


def test_the_first_book_of_an_account_is_run_from_the_tick_after_the_one_whose_prices_are_receipted() -> None:
    parties = Parties()
    parties.opened()
    parties.receipted = True
    parties.enter(parties.submission(1, "a"))
    # Nothing has to be run on it at tick 1, so another one takes its place at once.
    parties.enter(parties.submission(2, "b"))
    assert (book(parties).sequence, book(parties).tick, parties.state.public.waiting) == (2, 1, None)
    parties.tick()
    assert not is_due(parties.state, parties.at)
    refuses(parties, parties.run_opened(), WrongTick, "the book came with its prices or after")
    parties.tick()
    parties.enter(parties.run_opened())


def test_a_book_that_comes_after_prices_of_a_tick_that_becomes_void_is_run_at_the_next_one() -> None:
    parties = covered()
    parties.receipted = True
    other = parties.enter(parties.submission(2, "b"))
    parties.tick(void=True)
    assert not is_due(parties.state, parties.at)
    assert (book(parties).sequence, waiting(parties).tick) == (1, 2)
    parties.tick()
    parties.enter(parties.run_opened())
    assert (parties.run.submission, book(parties).sequence) == (other.body_hash(), 2)


def test_after_a_void_tick_a_book_takes_the_place_of_one_that_waits_for_nothing() -> None:
    parties = covered()
    parties.receipted = True
    parties.enter(parties.submission(2, "b"))
    parties.tick(void=True)
    parties.enter(parties.submission(3, "c"))
    assert (book(parties).sequence, book(parties).tick, parties.state.public.waiting) == (3, 1, None)


def test_a_book_that_comes_during_a_run_after_prices_of_the_next_tick_waits_for_the_run_at_that_one() -> None:
    parties = recorded()
    parties.receipted = True
    parties.enter(parties.submission(2, "b"))
    parties.enter(parties.answer("covered"))
    assert (book(parties).sequence, waiting(parties).tick) == (1, 2)
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    assert (book(parties).sequence, parties.state.public.waiting) == (2, None)


@pytest.mark.parametrize("stage", [covered, *PINNED])
def test_the_same_commitments_under_new_keys_do_not_wait(stage: Callable[[], Parties]) -> None:
    parties = stage()
    before, run = book(parties), parties.state.public.run
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    if stage is not covered:
        parties.enter(parties.submission(2, "b", keys=2))
    later = parties.state.public.waiting
    if stage is not booked:
        # There the one that waits would be in force from the next tick on.
        parties.tick()
    sequence = parties.state.public.submissions + 1
    document = parties.enter(parties.submission(sequence, "a", keys=2))
    after = book(parties)
    assert (after.submission, after.sequence, after.evaluation_keys) == (
        document.body_hash(), sequence, named("keys", 2)
    )  # fmt: skip
    assert (after.commitments, after.tick, after.covered, after.void) == (
        before.commitments, before.tick, before.covered, before.void
    )  # fmt: skip
    # A run that is open stays on the submission that it began with, under the keys of that; and what waits goes on.
    left = parties.state.public.run
    assert (left and left.submission, left and left.evaluation_keys) == (
        run and run.submission, run and run.evaluation_keys
    )  # fmt: skip
    assert parties.state.public.waiting == later


def test_another_gross_limit_makes_another_book() -> None:
    parties = recorded()
    body = parties.submission(2, "a").body | {"gross_limit": "101"}
    parties.enter(parties.institution.sign("submission", body))
    assert waiting(parties).sequence == 2


@pytest.mark.parametrize("end", ["answer", "margin call", "proof", "unasked"])
def test_a_waiting_book_comes_in_force_when_the_other_was_proven_since(end: str) -> None:
    parties = {"answer": recorded, "margin call": breached, "proof": asked, "unasked": owed}[end]()
    parties.enter(parties.submission(2, "b"))
    if end == "margin call":
        parties.enter(parties.settlement([("USDC", 7, "free", "posted")]))
    elif end == "unasked":
        parties.enter(parties.coverage())
    else:
        parties.enter(parties.answer("covered"))
    assert parties.state.public.waiting is None
    assert (book(parties).sequence, book(parties).tick, book(parties).covered) == (2, 1, None)
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "not proven covered since it came")


def test_a_waiting_book_that_came_after_a_tick_waits_for_a_run_at_that_tick() -> None:
    parties = recorded()
    parties.tick()
    parties.enter(parties.submission(2, "b"))
    # The answer is about a tick before it came; the second tick is still to be run on the book that was in force then.
    parties.enter(parties.answer("covered"))
    assert (book(parties).sequence, waiting(parties).sequence) == (1, 2)
    refuses(parties, parties.run_opened(submission=waiting(parties).submission), WrongBook, "another submission")
    refuses(parties, parties.instruction(2, "withdraw", 1), RunNotOver, "open or due")
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    assert (book(parties).sequence, parties.state.public.waiting) == (2, None)


def test_a_void_run_brings_no_book_in_force_and_lets_none_in() -> None:
    """Or who makes its evaluation fail at a breach would have another book covered at the next tick, and be gone."""
    parties = evaluating()
    parties.enter(parties.submission(2, "b"))
    parties.enter(parties.void())
    parties.enter(parties.submission(3, "c"))
    assert (book(parties).sequence, book(parties).void, waiting(parties).sequence) == (1, 1, 3)
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "a book waits")
    parties.tick()
    refuses(parties, parties.run_opened(submission=waiting(parties).submission), WrongBook, "another submission")
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    assert (book(parties).sequence, book(parties).void) == (3, None)


def test_nothing_comes_in_force_while_it_is_owed() -> None:
    parties = owed()
    parties.enter(parties.submission(2, "b"))
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.overdue())
    assert (book(parties).sequence, parties.state.public.status) == (1, "frozen")
    assert parties.state.public.owed == book(parties).commitments
    parties.enter(parties.answer("covered"))
    assert (book(parties).sequence, parties.state.public.owed, parties.state.public.status) == (2, None, "active")


def test_a_liquidation_leaves_no_book_waiting() -> None:
    parties = breached()
    parties.enter(parties.submission(2, "b"))
    parties.enter(parties.settlement([("USDC", 900, "free", "liquidation"), ("USDC", 100, "posted", "liquidation")]))
    public = parties.state.public
    assert (public.status, public.run, public.owed, public.waiting) == ("in_default", None, None, None)
    refuses(parties, parties.submission(3, "c"), IllegalTransition, "in_default")


# What is due


def test_the_newest_tick_with_a_market_is_due_once() -> None:
    parties = Parties()
    parties.opened()
    parties.tick()
    assert not is_due(parties.state, parties.at)
    opened = booked().run_opened().body | {"operator": parties.operator.public_key}
    refuses(parties, parties.operator.sign("run-opened", opened), WrongBook, "no book in force")
    parties.enter(parties.submission(1, "a"))
    assert not is_due(parties.state, parties.at)
    refuses(parties, parties.run_opened(), WrongTick, "the book came with its prices or after")
    parties.tick(void=True)
    assert not is_due(parties.state, parties.at)
    parties.tick()
    assert is_due(parties.state, parties.at)
    parties.enter(parties.run_opened())
    assert not is_due(parties.state, parties.at)


def test_a_book_that_waits_for_a_run_that_nobody_begins_is_run_at_the_next_tick() -> None:
    """An operator that opens no run could keep a book in force that was replaced long ago, until it suits it."""
    parties = booked()
    first = parties.state.public.book
    other = parties.enter(parties.submission(2, "b"))
    assert parties.state.public.book == first
    parties.tick()
    assert first is not None
    refuses(parties, parties.run_opened(submission=first.submission), WrongBook, "another submission than it must have")
    parties.enter(parties.run_opened())
    public = parties.state.public
    assert public.book is not None
    assert public.run is not None
    assert (public.book.submission, public.run.submission, public.waiting) == (
        other.body_hash(),
        other.body_hash(),
        None,
    )


def test_a_book_that_waits_for_what_is_owed_does_not_come_in_force_by_a_tick() -> None:
    parties = owed()
    first = parties.state.public.book
    parties.enter(parties.submission(2, "b"))
    parties.tick()
    parties.enter(parties.run_opened())
    assert parties.state.public.book == first
    assert parties.state.public.waiting is not None


def test_the_book_before_is_not_proven_unasked_in_place_of_the_one_that_came_before_the_tick() -> None:
    """A flat book proven at a tick would spare the one that replaced it the run there."""
    parties = booked()
    first = parties.state.public.book
    other = parties.enter(parties.submission(2, "b"))
    parties.tick()
    assert first is not None
    refuses(parties, parties.coverage(submission=first.submission), WrongBook, "another book than the one in force")
    parties.enter(parties.coverage(submission=other.body_hash()))
    book = parties.state.public.book
    assert book is not None
    assert (book.submission, book.covered, parties.state.public.last_run) == (other.body_hash(), 2, 2)
