"""Rules of collateral: what is free, what is posted, and what may leave."""

from collections.abc import Callable

import pytest

from atomic_margin.service.errors import IllegalTransition, InsufficientFunds
from atomic_margin.service.protocol.account.errors import (
    NotCovered,
    OutOfSequence,
    RunNotOver,
    WrongTick,
)  # fmt: skip

from .documents import Parties
from .story import asked, booked, breached, covered, evaluating, not_proven, owed, recorded, refuses, void


def test_deposits_are_free_and_posting_moves_them() -> None:
    parties = booked()
    assert (parties.state.private.free, parties.state.public.posted) == ({"USDC": 900}, {"USDC": 100})
    parties.enter(parties.deposit(5, "BTC"))
    parties.enter(parties.instruction(2, "post", 5, "BTC"))
    assert (parties.state.private.free, parties.state.public.posted) == ({"USDC": 900}, {"BTC": 5, "USDC": 100})
    refuses(parties, parties.instruction(3, "post", 901), InsufficientFunds, "1 units of free USDC less")
    refuses(parties, parties.instruction(3, "post", 1, "ETH"), InsufficientFunds, "1 units of free ETH less")


def test_instructions_come_in_sequence() -> None:
    parties = covered()
    for sequence in (0, 1, 3):
        for action in ("post", "withdraw"):
            refuses(
                parties, parties.instruction(sequence, action, 1), OutOfSequence,
                "the next instruction sequence number is 2",
            )  # fmt: skip
    parties.enter(parties.instruction(2, "withdraw", 1))
    refuses(parties, parties.instruction(2, "post", 1), OutOfSequence, "is 3, got 2")


def test_free_collateral_leaves_once_the_book_is_covered_and_not_more_than_there_is() -> None:
    parties = covered()
    refuses(parties, parties.instruction(2, "withdraw", 901), InsufficientFunds, "1 units of free USDC less")
    parties.enter(parties.instruction(2, "withdraw", 900))
    assert (parties.state.private.free, parties.state.public.posted) == ({}, {"USDC": 100})


def test_without_a_book_free_collateral_may_leave() -> None:
    parties = Parties()
    parties.enter(parties.admission())
    parties.enter(parties.deposit(10))
    parties.enter(parties.instruction(1, "withdraw", 4))
    parties.enter(parties.enrolment(1))
    parties.enter(parties.confirmation(1))
    parties.enter(parties.instruction(2, "withdraw", 4))
    assert parties.state.private.free == {"USDC": 2}


@pytest.mark.parametrize(
    ("stage", "error", "match"),
    [
        (booked, RunNotOver, "open or due"),
        (evaluating, RunNotOver, "open or due"),
        (recorded, RunNotOver, "open or due"),
        (breached, RunNotOver, "open or due"),
        (asked, RunNotOver, "open or due"),
        (not_proven, RunNotOver, "open or due"),
        (void, NotCovered, "not proven covered since it came"),
        (owed, IllegalTransition, "is frozen; 'withdrawn' is not possible"),
    ],
)
def test_nothing_leaves_while_something_is_to_be_proven(
    stage: Callable[[], Parties], error: type[Exception], match: str
) -> None:
    parties = stage()
    refuses(parties, parties.instruction(2, "withdraw", 1), error, match)
    # Posting is possible all the same, unless a run is open: what its breach takes is counted from what it counts.
    run, post = parties.state.public.run, parties.instruction(2, "post", 1)
    if run is None or run.stage == "unproven":
        parties.enter(post)
    else:
        refuses(parties, post, RunNotOver, "post after it is answered")


def test_a_void_run_of_a_covered_book_keeps_everything_until_it_is_proven_again() -> None:
    parties = covered()
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.void())
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "the run of tick 2 was void")
    parties.enter(parties.coverage())
    parties.enter(parties.instruction(2, "withdraw", 1))


def test_a_run_that_is_due_keeps_everything() -> None:
    parties = covered()
    parties.tick()
    refuses(parties, parties.instruction(2, "withdraw", 1), RunNotOver, "open or due")
    parties = covered()
    parties.tick(void=True)
    # Void or staged: nobody knows prices, and whoever knows what comes must not be first.
    refuses(parties, parties.instruction(2, "withdraw", 1), WrongTick, "tick 2 is staged, or void")


def test_a_book_that_is_not_covered_or_waits_keeps_everything() -> None:
    parties = covered()
    parties.enter(parties.submission(2, "b"))
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "withdraw after its first run")
    # Back to the book that was covered once: it has to be covered again.
    parties.enter(parties.submission(3, "a"))
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "withdraw after its first run")
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    parties.enter(parties.instruction(2, "withdraw", 1))
