"""A book that nobody can open any more goes by what both sides sign, and by nothing else; nothing leaves with it."""

from collections.abc import Callable

import pytest

from atomic_margin.service.protocol.account.errors import NotCovered, RunNotOver, WrongBook, WrongTick
from atomic_margin.service.protocol.account.values import is_due
from atomic_margin.service.protocol.states import AccountState

from .documents import Parties
from .story import (
    asked,
    booked,
    breached,
    covered,
    evaluating,
    not_proven,
    owed,
    recorded,
    refuses,
    void,
)  # fmt: skip


def run_and_cover(parties: Parties) -> None:
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("stage", [booked, recorded, owed, asked, not_proven, void, covered])
def test_both_give_up_the_book_and_what_is_open_or_owed_on_it(stage: Callable[[], Parties], waits: bool) -> None:
    parties = stage()
    if waits:
        parties.receipted = stage is covered
        parties.enter(parties.submission(2, "b"))
        assert parties.state.public.waiting is not None
    before = parties.state
    assert before.public.book is not None
    parties.enter(parties.giving_up())
    after = parties.state.public
    assert (after.book, after.waiting, after.run, after.owed) == (None, None, None, None)
    assert (after.status, after.given_up) == (AccountState.ACTIVE, before.public.book.submission)
    # Collateral stays where it is, and so does the count of what happened.
    assert (parties.state.private, after.posted) == (before.private, before.public.posted)
    for name in ("submissions", "instructions", "last_run", "keys", "key_sequence", "readers"):
        assert getattr(after, name) == getattr(before.public, name)


@pytest.mark.parametrize("stage", [evaluating, breached])
def test_nobody_gives_up_what_is_being_evaluated_or_settled(stage: Callable[[], Parties]) -> None:
    parties = stage()
    refuses(parties, parties.giving_up(), RunNotOver, "is being evaluated or settled")


def test_a_giving_up_names_the_books_that_there_are() -> None:
    parties = owed()
    first = parties.giving_up()
    refuses(parties, parties.giving_up(submission="1a" * 32), WrongBook, "other books are in force, or wait")
    refuses(parties, parties.giving_up(waiting="1a" * 32), WrongBook, "other books are in force, or wait")
    parties.enter(parties.submission(2, "b"))
    # Another book waits by now: what is to be given up is said anew.
    refuses(parties, first, WrongBook, "other books are in force, or wait")
    second = parties.giving_up()
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    parties.enter(parties.submission(3, "a", keys=2))
    # Who brings the same commitments under new keys can open them.
    for old in (first, second):
        refuses(parties, old, WrongBook, "other books are in force, or wait")
    parties.enter(parties.giving_up())


@pytest.mark.parametrize("end", ["answer", "margin call", "unasked"])
def test_what_was_signed_before_a_proof_gives_nothing_up_after_it(end: str) -> None:
    parties = breached() if end == "margin call" else owed()
    old = parties.giving_up()
    if end == "answer":
        parties.enter(parties.answer("covered"))
    elif end == "margin call":
        parties.enter(parties.settlement([("USDC", 7, "free", "posted")]))
    else:
        parties.enter(parties.coverage())
    refuses(parties, old, WrongBook, "was proven covered since it was to be given up")
    # Not even when the same book is owed once more.
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.overdue())
    assert parties.state.public.status is AccountState.FROZEN
    refuses(parties, old, WrongBook, "was proven covered since it was to be given up")
    refuses(parties, parties.giving_up(covered="7"), WrongBook, "was proven covered since")
    parties.enter(parties.giving_up())
    refuses(parties, old, WrongBook, "no book in force")


def test_what_gave_one_book_up_gives_up_no_other() -> None:
    parties = owed()
    old = parties.enter(parties.giving_up())
    refuses(parties, old, WrongBook, "no book in force")
    parties.enter(parties.submission(2, "a"))
    refuses(parties, old, WrongBook, "other books are in force, or wait")


def test_what_happens_meanwhile_and_changes_no_book_does_not_matter() -> None:
    """Ticks come faster than people agree."""
    parties = owed()
    document = parties.giving_up()
    parties.enter(parties.deposit(5))
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(document)
    assert parties.state.public.status is AccountState.ACTIVE


def test_nothing_leaves_before_another_book_was_proven_covered() -> None:
    parties = covered()
    parties.enter(parties.giving_up())
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "a book was given up")
    parties.enter(parties.instruction(2, "post", 1))
    parties.enter(parties.submission(2, "b"))
    refuses(parties, parties.instruction(3, "withdraw", 1), NotCovered, "a book was given up")
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.void())
    refuses(parties, parties.instruction(3, "withdraw", 1), NotCovered, "a book was given up")
    parties.tick()
    run_and_cover(parties)
    assert parties.state.public.given_up is None
    parties.enter(parties.instruction(3, "withdraw", 1))


@pytest.mark.parametrize("end", ["margin call", "unasked"])
def test_a_book_that_is_made_good_or_proven_unasked_counts_as_well(end: str) -> None:
    parties = owed()
    parties.enter(parties.giving_up())
    parties.enter(parties.submission(2, "b"))
    parties.tick()
    if end == "unasked":
        parties.enter(parties.coverage())
    else:
        parties.enter(parties.run_opened())
        parties.enter(parties.record())
        parties.enter(parties.answer("breach"))
        parties.enter(parties.settlement([("USDC", 7, "free", "posted")]))
    assert parties.state.public.given_up is None
    parties.enter(parties.instruction(2, "withdraw", 1))


@pytest.mark.parametrize("receipted", [False, True])
def test_the_next_book_is_in_force_at_once_and_run_from_the_next_tick_on(receipted: bool) -> None:
    parties = owed()
    parties.enter(parties.giving_up())
    parties.tick()
    assert not is_due(parties.state, parties.at)
    parties.receipted = receipted
    parties.enter(parties.submission(2, "b"))
    book = parties.state.public.book
    assert book is not None
    assert (book.sequence, book.tick, book.covered) == (2, 2 + receipted, None)
    refuses(parties, parties.run_opened(), WrongTick, "the book came with its prices or after")
    parties.tick()
    assert is_due(parties.state, parties.at) is not receipted
    if receipted:
        parties.tick()
    run_and_cover(parties)
