"""Rules of releases and substitutions: about this entry, this tick, these balances and this book, or about nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.errors import IllegalTransition, InsufficientFunds
from atomic_margin.service.protocol.account.errors import (
    NotCovered,
    OutOfSequence,
    RunNotOver,
    WrongBook,
    WrongCollateral,
    WrongTick,
)
from atomic_margin.service.protocol.account.releases import require_release_allowed

from .documents import Parties, named
from .releasing import release
from .story import asked, booked, breached, covered, evaluating, not_proven, owed, recorded, refuses, void


def test_what_is_released_is_free_and_nothing_is_lost() -> None:
    parties = covered()
    parties.enter(release(parties, {"USDC": 40}))
    assert (parties.state.private.free, parties.state.public.posted) == ({"USDC": 940}, {"USDC": 60})
    assert parties.state.public.instructions == 2
    parties.enter(release(parties, {"USDC": 60}))
    assert (parties.state.private.free, parties.state.public.posted) == ({"USDC": 1000}, {})


def test_a_substitution_is_one_event() -> None:
    parties = covered()
    parties.enter(parties.deposit(7, "BTC"))
    document = parties.enter(release(parties, {"USDC": 100}, {"BTC": 7}, proof=False))
    assert parties.entries[-1][0].body["kind"] == "substituted"
    assert (parties.state.private.free, parties.state.public.posted) == ({"USDC": 1000}, {"BTC": 7})
    refuses(parties, document, OutOfSequence, "is 3, got 2")


def test_more_than_there_is_neither_comes_back_nor_is_given() -> None:
    parties = covered()
    refuses(
        parties, release(parties, {"BTC": 1}, remaining={"USDC": "100"}), InsufficientFunds, "1 units of posted BTC"
    )
    refuses(
        parties, release(parties, {"USDC": 101}, remaining={}), InsufficientFunds, "1 units of posted USDC less than"
    )
    refuses(parties, release(parties, {"USDC": 1}, {"BTC": 1}), InsufficientFunds, "1 units of free BTC less")


def test_a_release_of_a_book_in_force_has_a_proof_and_without_a_book_there_is_none() -> None:
    parties = covered()
    refuses(parties, release(parties, {"USDC": 1}, proof=False), NotCovered, "a release comes with the proof")
    refuses(
        parties, release(parties, {"USDC": 1}, proof=False, submission=None), WrongBook, "another book than the one in"
    )
    parties = Parties()
    parties.opened()
    parties.enter(parties.instruction(1, "post", 100))
    refuses(parties, release(parties, {"USDC": 1}, submission=named("book")), WrongBook, "another book")
    parties.enter(release(parties, {"USDC": 30}))
    assert parties.state.public.posted == {"USDC": 70}


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"submission": named("other")}, WrongBook, "another book"),
        ({"entry": named("entry")}, OutOfSequence, "the account went on"),
        ({"sequence": "1"}, OutOfSequence, "is 2, got 1"),
        ({"sequence": "3"}, OutOfSequence, "is 2, got 3"),
        ({"price_sequence": "0"}, WrongTick, "not at the newest tick"),
        ({"tick": named("tick", 7)}, WrongTick, "not at the newest tick"),
        ({"posted": {"USDC": "101"}}, WrongCollateral, "other collateral than is posted"),
        ({"posted": {}}, WrongCollateral, "other collateral than is posted"),
        ({"remaining": {"USDC": "61"}}, WrongCollateral, "what remains"),
        ({"remaining": {}}, WrongCollateral, "what remains"),
    ],
)
def test_a_release_is_about_this_moment_alone(changes: dict[str, Any], error: type[Exception], match: str) -> None:
    parties = covered()
    refuses(parties, release(parties, {"USDC": 40}, **changes), error, match)


@pytest.mark.parametrize(
    "passes",
    [
        lambda parties: parties.deposit(1),
        lambda parties: parties.instruction(2, "post", 1),
        lambda parties: parties.readers(1),
        lambda parties: parties.revision(),
    ],
)
def test_after_any_other_event_a_release_is_about_nothing(passes: Callable[[Parties], Any]) -> None:
    parties = covered()
    document = release(parties, {"USDC": 40})
    parties.enter(passes(parties))
    refuses(parties, document, OutOfSequence, "is 3, got 2" if parties.state.public.instructions == 2 else "went on")


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
        (owed, IllegalTransition, "is frozen"),
    ],
)
@pytest.mark.parametrize("given", [None, {"BTC": 1}])
def test_nothing_comes_back_while_something_is_to_be_proven(
    stage: Callable[[], Parties], error: type[Exception], match: str, given: dict[str, int] | None
) -> None:
    parties = stage()
    refuses(parties, release(parties, {"USDC": 1}, given), error, match)


def test_a_flat_book_frees_nothing_for_the_real_one() -> None:
    """It is proven covered first, and so is the real one, which comes back afterwards."""
    parties = covered()
    parties.enter(parties.submission(2, "flat"))
    refuses(parties, release(parties, {"USDC": 1}), NotCovered, "not proven covered since it came")
    parties.enter(parties.submission(3, "a"))
    refuses(parties, release(parties, {"USDC": 1}), NotCovered, "not proven covered since it came")


def test_nothing_comes_back_while_a_book_waits_or_is_given_up() -> None:
    parties = owed()
    parties.enter(parties.giving_up())
    refuses(parties, release(parties, {"USDC": 1}), NotCovered, "was given up")
    parties = recorded()
    parties.enter(parties.submission(2, "b"))
    parties.tick(void=True)
    parties.enter(parties.answer("covered"))
    assert parties.state.public.waiting is None
    refuses(parties, release(parties, {"USDC": 1}), NotCovered, "not proven covered since it came")


def test_nothing_comes_back_when_prices_are_gone() -> None:
    """A tick without prices came, or somebody has seen those of the next one."""
    parties = covered()
    document = release(parties, {"USDC": 40})
    parties.receipted = True
    refuses(parties, document, WrongTick, "before a document for the next one is receipted")
    parties.receipted = False
    parties.tick(void=True)
    refuses(parties, document, WrongTick, "release after the next tick")
    parties.tick()
    refuses(parties, document, RunNotOver, "open or due")


def test_a_release_says_what_it_moves() -> None:
    parties = covered()
    for taken, given, changes, field in (
        ({}, None, {}, "taken"),
        ({"USDC": 0}, None, {}, "taken"),
        ({"USDC": 1}, {}, {}, "given"),
        ({"USDC": 1}, {"USDC": 1}, {}, "given.USDC"),
        ({"USDC": 1}, None, {"matrix": None}, "matrix"),
        ({"USDC": 1}, None, {"sufficiency_proof": None}, "sufficiency_proof"),
        ({"USDC": 1}, None, {"sufficiency_proof": None, "matrix": None, "form": "exact"}, "form"),
        ({"USDC": 1}, None, {"submission": None}, "submission"),
    ):
        with pytest.raises(MalformedDocument) as wrong:
            release(parties, taken, given, **changes)
        assert wrong.value.field == field


def test_a_book_that_was_covered_at_its_own_tick_frees_nothing() -> None:
    """No events lead there, and whatever will, the prices of that tick were known when the book came."""
    parties = covered()
    require_release_allowed(parties.state, parties.at, substitutes=False)
    public = parties.state.public
    assert public.book is not None
    book = public.book.model_copy(update={"tick": public.book.covered})
    state = parties.state.model_copy(update={"public": public.model_copy(update={"book": book})})
    with pytest.raises(NotCovered, match="at a tick after it came"):
        require_release_allowed(state, parties.at, substitutes=False)
