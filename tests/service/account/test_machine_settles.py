"""Losses in the account machine: they go with the book that has them no more, once, at prices nobody has outlived."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.errors import IllegalTransition, InsufficientFunds
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.errors import (
    AllowanceExceeded,
    NotCovered,
    OutOfSequence,
    RunNotOver,
    WrongBook,
    WrongSigner,
    WrongTick,
)
from atomic_margin.service.protocol.account.events import EventKind, read_event

from .documents import Parties, named
from .story import asked, booked, breached, covered, evaluating, not_proven, owed, recorded, refuses, void


def test_collateral_leaves_with_the_losses_and_the_book_is_in_force() -> None:
    parties = covered()
    before = parties.state
    document = parties.enter(parties.settling(2, "b", 40, allowance="7"))
    after = parties.state
    assert after.public.posted == {"USDC": 60}
    assert after.private == before.private
    assert after.public.book is not None
    assert (after.public.book.submission, after.public.book.covered) == (document.body_hash(), None)
    # No number of instructions is used up, and of the day's allowance only what was asked for beside.
    assert after.public.instructions == before.public.instructions
    assert after.public.gained == before.public.gained + 7
    parties.enter(parties.settling(3, "c", 60))
    assert parties.state.public.posted == {}


def test_nothing_is_withdrawn_before_the_book_without_the_losses_was_proven() -> None:
    parties = covered()
    parties.enter(parties.settling(2, "b", 40))
    refuses(parties, parties.instruction(2, "withdraw", 1), NotCovered, "not proven covered since it came")
    parties.tick()
    parties.enter(parties.run_opened())
    assert parties.run.posted == {"USDC": 60}
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    parties.enter(parties.instruction(2, "withdraw", 1))


@pytest.mark.parametrize("made", [booked, evaluating, recorded, asked, not_proven, breached, void])
def test_no_losses_are_settled_while_anything_is_open_or_due(made: Callable[[], Parties]) -> None:
    """What a run counts stays where it is, and no book that would have to wait takes collateral away."""
    parties = made()
    document = parties.settling(2, "b", 5)
    refuses(parties, document, RunNotOver, "settle losses after it is answered")
    assert parties.state.public.posted == {"USDC": 100}


def test_no_losses_are_settled_of_a_frozen_account() -> None:
    parties = owed()
    refuses(parties, parties.settling(2, "b", 5), IllegalTransition, "'losses settled' is not possible")


def test_losses_are_not_settled_at_prices_that_others_outlived() -> None:
    parties = covered()
    stale = parties.settling(2, "b", 5)
    # Who has seen what sources sign next would choose between the two prices.
    parties.receipted = True
    refuses(parties, stale, WrongTick, "before a document for the next one is receipted")
    # A tick without prices leaves the old ones the newest, and later ones known.
    parties.tick(void=True)
    refuses(parties, parties.settling(2, "b", 5), WrongTick, "settle them after the next tick")
    parties.tick()
    refuses(parties, stale, WrongTick, "its gain is counted at tick 1, the newest is 3")


def test_before_there_are_prices_nothing_is_settled() -> None:
    parties = Parties()
    parties.opened()
    parties.enter(parties.instruction(1, "post", 100))
    parties.enter(parties.submission(1, "a"))
    refuses(parties, parties.settling(2, "b", 5), WrongTick, "at the prices of the newest tick")


def test_a_book_that_came_after_the_first_prices_settles_nothing_before_their_tick() -> None:
    """Nothing is due then, for such a book is run at later ticks alone; but the next prices may be known."""
    parties = covered()
    parties.receipted = True
    parties.enter(parties.submission(2, "b"))
    refuses(parties, parties.settling(3, "c", 5), WrongTick, "before a document for the next one is receipted")


def test_losses_are_those_of_a_book_that_is_replaced() -> None:
    parties = covered()
    refuses(parties, parties.settling(2, "a", 5), WrongBook, "takes the place of one with more of them")
    bare = Parties()
    bare.opened()
    bare.enter(bare.instruction(1, "post", 100))
    bare.tick()
    refuses(bare, bare.settling(1, "a", 5), WrongBook, "takes the place of one with more of them")


def test_what_was_paid_counts_for_one_submission() -> None:
    """Played again it has the number of one that came; the next one gains by its own allowance alone."""
    parties = covered()
    paid = parties.enter(parties.settling(2, "b", 5))
    refuses(parties, paid, OutOfSequence, "the next submission sequence number is 3")
    # Under the next number it would have to be signed anew, and more would leave.
    third = {**paid.body, "sequence": "3", "commitments": parties.submission(3, "c").body["commitments"]}
    refuses(parties, parties.institution.sign("submission", third), WrongBook, "compared with another book")
    refuses(parties, parties.submission(3, "c", allowance="101"), AllowanceExceeded, "may have gained 100 USD more")
    assert parties.state.public.posted == {"USDC": 95}


def test_a_submission_from_before_gains_nothing_by_it() -> None:
    """It is compared with the book that was in force when it was made, which is there no more."""
    parties = covered()
    earlier = parties.submission(2, "c")
    parties.enter(parties.settling(2, "b", 5))
    refuses(parties, earlier, OutOfSequence, "the next submission sequence")
    late = parties.institution.sign("submission", {**earlier.body, "sequence": "3"})
    refuses(parties, late, WrongBook, "compared with another book")


def test_more_than_is_posted_never_leaves() -> None:
    parties = covered()
    refuses(parties, parties.settling(2, "b", 101), InsufficientFunds, "has 1 units of posted USDC less than that")
    refuses(parties, parties.settling(2, "b", 1, "BTC"), InsufficientFunds, "1 units of posted BTC less")


def test_free_collateral_is_not_what_losses_are_paid_with() -> None:
    parties = covered()
    parties.enter(parties.settling(2, "b", 100))
    refuses(parties, parties.settling(3, "c", 1), InsufficientFunds, "1 units of posted USDC less")
    assert parties.state.private.free == {"USDC": 900}


def test_what_another_account_pays_settles_nothing_here() -> None:
    parties = covered()
    body = parties.settling(2, "b", 5).body
    other = parties.institution.sign("submission", {**body, "institution": "other"})
    refuses(parties, other, WrongSigner, "another institution")


def test_an_operator_settles_nothing_by_itself() -> None:
    parties = covered()
    body = parties.submission(2, "b").body
    gain = {**body["gain"], "settles": {"asset": "USDC", "quantity": "5", "usd": "5"}}
    refuses(parties, parties.operator.sign("submission", {**body, "gain": gain}), WrongSigner, "by the institution")


@pytest.mark.parametrize("field", ["quantity", "usd"])
def test_nothing_is_no_loss(field: str) -> None:
    parties = covered()
    paid: dict[str, Any] = {"asset": "USDC", "quantity": "5", "usd": "5", field: "0"}
    with pytest.raises(MalformedDocument, match="leave `settles` out where no losses are settled") as refused:
        parties.submission(2, "b", settles=paid)
    assert refused.value.field == field


def test_a_book_that_waits_is_replaced_by_the_one_without_its_losses() -> None:
    """It came after the prices of a tick that got none; nothing was due, and its gain is the one that counts."""
    parties = covered()
    parties.receipted = True
    parties.enter(parties.submission(2, "b"))
    parties.tick(void=True)
    parties.tick()
    # The run of tick 3 is on the book that came before its prices.
    refuses(parties, parties.settling(3, "c", 5), RunNotOver, "settle losses after it is answered")
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    parties.enter(parties.settling(3, "c", 5))
    assert (parties.state.public.waiting, parties.state.public.posted) == (None, {"USDC": 95})


def test_the_machine_takes_losses_from_no_submission_that_settles_none() -> None:
    parties = covered()
    event = read_event(parties.submission(2, "b"))._replace(kind=EventKind.LOSSES_SETTLED)
    with pytest.raises(TypeError, match="without losses that it settles"):
        machine.apply(parties.state, event, parties.at)
    assert named("b") != named("c")
