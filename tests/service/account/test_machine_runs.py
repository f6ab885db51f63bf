"""Rules of runs: which one may begin, what it is on, its record, its second run, and its end without an answer."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.protocol.account.errors import (
    RunNotOver,
    WrongBook,
    WrongCollateral,
    WrongKeys,
    WrongRun,
    WrongTick,
)  # fmt: skip
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import Parties, named, tick
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

OTHER = named("other")
CHANGED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"price_sequence": "2"}, WrongTick, "another price_sequence"),
    ({"price_sequence": "0"}, WrongTick, "another price_sequence"),
    ({"tick": OTHER}, WrongTick, "another tick"),
    ({"run_id": "fund.2"}, WrongRun, "another run_id"),
    ({"run_id": "other.1"}, WrongRun, "another run_id"),
    ({"submission": OTHER}, WrongBook, "another submission"),
    ({"instructions": "0"}, WrongCollateral, "another instructions"),
    ({"instructions": "2"}, WrongCollateral, "another instructions"),
    ({"posted": {}}, WrongCollateral, "another posted"),
    ({"posted": {"USDC": "99"}}, WrongCollateral, "another posted"),
    ({"posted": {"USDC": "100", "BTC": "1"}}, WrongCollateral, "another posted"),
]
"""What a run or its record says, one thing of it changed."""
Make = Callable[..., SignedDocument]


def to_be_proven(parties: Parties, **changes: Any) -> SignedDocument:
    return parties.record(evaluated=False, **changes)


@pytest.mark.parametrize("make", [Parties.run_opened, to_be_proven])
@pytest.mark.parametrize(("changes", "error", "match"), CHANGED)
def test_a_run_is_on_what_the_account_is_at_its_tick(
    make: Make, changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    parties = booked()
    refuses(parties, make(parties, **changes), error, match)
    parties.enter(make(parties))
    assert parties.run.stage == ("evaluating" if make is Parties.run_opened else "awaiting")


@pytest.mark.parametrize("make", [Parties.run_opened, to_be_proven])
def test_a_run_is_at_the_newest_tick(make: Make) -> None:
    parties = booked()
    parties.tick()
    refuses(parties, make(parties, price_sequence="1", tick=tick(1), run_id="fund.1"), WrongTick, "another price_seq")
    parties.tick(void=True)
    refuses(parties, make(parties, price_sequence="3", tick=tick(3), run_id="fund.3"), WrongTick, "another price_seq")
    parties.enter(make(parties))
    assert (parties.run.price_sequence, parties.state.public.last_run) == (2, 2)


@pytest.mark.parametrize("make", [Parties.run_opened, to_be_proven])
@pytest.mark.parametrize("stage", [covered, owed, void])
def test_a_tick_has_one_run(make: Make, stage: Callable[[], Parties]) -> None:
    parties = stage()
    refuses(parties, make(parties), WrongTick, "it had a run")
    parties.tick(void=True)
    refuses(parties, make(parties), WrongTick, "it had a run")
    parties.tick()
    parties.enter(make(parties))


@pytest.mark.parametrize("make", [Parties.run_opened, to_be_proven])
def test_a_book_has_no_run_at_a_tick_before_it(make: Make) -> None:
    parties = covered()
    old = parties.state.public.book
    parties.tick()
    parties.enter(make(parties))
    parties = covered()
    parties.enter(parties.submission(2, "b"))
    refuses(parties, make(parties), WrongTick, "the book came with its prices or after")
    parties.tick()
    assert old is not None
    refuses(parties, make(parties, submission=old.submission), WrongBook, "another submission")
    parties.enter(make(parties))
    # Nor has the first book of an account, which no run came before.
    parties = Parties()
    parties.opened()
    parties.tick()
    parties.enter(parties.submission(1, "a"))
    refuses(parties, make(parties), WrongTick, "the book came with its prices or after")


@pytest.mark.parametrize("make", [Parties.run_opened, to_be_proven])
@pytest.mark.parametrize("stage", [evaluating, recorded, breached, asked])
def test_a_run_begins_when_the_one_before_is_over(make: Make, stage: Callable[[], Parties]) -> None:
    parties = stage()
    refuses(parties, make(parties), RunNotOver, "fund.1 is not over")
    parties.tick()
    refuses(parties, make(parties), RunNotOver, "fund.1 is not over")


def test_an_owed_account_is_run_at_every_tick() -> None:
    parties = owed()
    parties.tick()
    parties.enter(parties.run_opened())
    assert (parties.run.run_id, parties.run.stage, parties.state.public.owed) == (
        "fund.2", "evaluating", parties.run.commitments
    )  # fmt: skip


# Records


@pytest.mark.parametrize(("changes", "error", "match"), CHANGED)
def test_a_record_says_what_its_run_began_with(changes: dict[str, Any], error: type[Exception], match: str) -> None:
    parties = evaluating()
    assert issubclass(error, Exception)
    match = "not the one that is being evaluated" if "run_id" in changes else match
    refuses(parties, parties.record(**changes), WrongRun, match)
    parties.enter(parties.record())
    assert (parties.run.stage, parties.run.evaluated) == ("awaiting", True)


@pytest.mark.parametrize("name", ["maintenance_fhe", "maintenance_proof", "initial_fhe", "initial_proof"])
def test_a_record_has_the_matrices_its_run_began_with(name: str) -> None:
    parties = evaluating()
    refuses(parties, parties.record(matrices=parties.matrices(1) | {name: OTHER}), WrongRun, "another matrices")


@pytest.mark.parametrize("evaluated", [True, False])
@pytest.mark.parametrize("name", ["evaluation_keys", "key_commitments"])
def test_a_record_names_the_keys_of_its_submission(evaluated: bool, name: str) -> None:
    parties = evaluating() if evaluated else booked()
    refuses(parties, parties.record(evaluated=evaluated, **{name: OTHER}), WrongKeys, "other keys than its submission")


def test_what_comes_while_a_run_is_evaluated_does_not_count_for_it() -> None:
    parties = evaluating()
    parties.enter(parties.deposit(50))
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    again = parties.enter(parties.submission(2, "a", keys=2))
    parties.tick()
    posted = {"USDC": "150"}
    for changes, match in (
        ({"posted": posted}, "another posted"),
        ({"instructions": "2"}, "another instructions"),
        ({"submission": again.body_hash()}, "another submission"),
    ):
        refuses(parties, parties.record(**changes), WrongRun, match)
    refuses(parties, parties.record(evaluation_keys=named("keys", 2)), WrongKeys, "other keys")
    parties.enter(parties.record())
    assert (parties.run.posted, parties.run.price_sequence) == ({"USDC": 100}, 1)


def test_a_run_has_one_record() -> None:
    parties = recorded()
    refuses(parties, parties.record(fft_plan=OTHER), WrongRun, "not the one that is being evaluated")
    parties.enter(parties.answer("covered"))
    run = recorded().record()
    refuses(parties, parties.operator.sign("run", run.body | {"operator": parties.operator.public_key}), WrongRun,
            "not the one that is being evaluated")  # fmt: skip


def test_an_evaluated_record_takes_the_place_of_no_other() -> None:
    parties = evaluating()
    refuses(parties, to_be_proven(parties), RunNotOver, "fund.1 is not over")
    parties = asked()
    refuses(parties, parties.record(), WrongRun, "not the one that is being evaluated")


def test_a_record_names_the_entry_that_has_it_from_the_next_on() -> None:
    parties = evaluating()
    parties.enter(parties.record())
    entry = parties.chain.head
    assert parties.run.entry is None
    parties.enter(parties.deposit(1))
    assert parties.run.entry == entry
    parties.enter(parties.deposit(2))
    assert parties.run.entry == entry


# The second run


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        *((change, error, match) for change, error, match in CHANGED),
        ({"run_id": "fund.1"}, WrongRun, "another run_id"),
        ({"matrices": dict.fromkeys(("maintenance_fhe", "maintenance_proof", "initial_fhe", "initial_proof"), OTHER)},
         WrongRun, "another matrices"),
    ],
)  # fmt: skip
def test_a_second_run_is_the_first_one_again(changes: dict[str, Any], error: type[Exception], match: str) -> None:
    parties = not_proven()
    refuses(parties, parties.second_opened(**changes), error, match)
    parties.enter(parties.second_opened())
    assert (parties.run.second, parties.run.stage, parties.run.record) == (True, "evaluating", None)
    parties.enter(parties.record())
    assert (parties.run.stage, parties.run.evaluated) == ("awaiting", True)


def test_nothing_that_came_since_counts_for_a_second_run() -> None:
    parties = not_proven()
    parties.enter(parties.deposit(50))
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    again = parties.enter(parties.submission(2, "a", keys=2))
    parties.enter(parties.submission(3, "b", keys=2))
    parties.tick()
    refuses(parties, parties.run_opened(), WrongTick, "another price_sequence")
    for changes, error, match in (
        ({"posted": {"USDC": "150"}}, WrongCollateral, "another posted"),
        ({"instructions": "2"}, WrongCollateral, "another instructions"),
        ({"submission": again.body_hash()}, WrongBook, "another submission"),
        ({"price_sequence": "2", "tick": tick(2)}, WrongTick, "another price_sequence"),
    ):
        refuses(parties, parties.second_opened(**changes), error, match)
    parties.enter(parties.second_opened())
    refuses(parties, parties.record(evaluation_keys=named("keys", 2)), WrongKeys, "other keys")
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    # The book that waited came at tick 1, which is proven now; it is run at tick 2.
    book = parties.state.public.book
    assert book is not None
    assert (book.sequence, book.tick) == (3, 1)
    parties.enter(parties.run_opened())


def test_there_is_no_second_run_without_a_first_that_was_not_proven() -> None:
    for stage, error, match in (
        (booked, WrongRun, "another run_id"),
        (covered, WrongTick, "it had a run"),
        (evaluating, RunNotOver, "not over"),
        (asked, RunNotOver, "not over"),
        (owed, WrongTick, "it had a run"),
    ):
        parties = stage()
        refuses(parties, parties.run_opened(run_id="fund.1.exact", price_sequence="1", tick=tick(1)), error, match)


def test_a_run_that_was_not_proven_is_evaluated_next_and_not_asked_for_again() -> None:
    parties = not_proven()
    refuses(parties, parties.run_opened(), WrongRun, "another run_id")
    second = parties.second_opened().body["run_id"]
    refuses(parties, to_be_proven(parties), WrongRun, "its tick is evaluated now")
    refuses(parties, to_be_proven(parties, run_id=second), WrongRun, "its tick is evaluated now")
    parties.tick()
    refuses(parties, to_be_proven(parties), WrongRun, "its tick is evaluated now")


def test_a_tick_has_no_third_run() -> None:
    parties = not_proven()
    parties.enter(parties.second_opened())
    parties.enter(parties.void())
    for document in (parties.run_opened(), to_be_proven(parties)):
        refuses(parties, document, WrongTick, "it had a run")


# Ends without an answer


@pytest.mark.parametrize("stage", [booked, covered, recorded, asked, not_proven, owed, breached])
def test_a_run_is_void_while_it_is_evaluated_and_no_longer(stage: Callable[[], Parties]) -> None:
    parties = stage()
    refuses(parties, _void(parties, "fund.1"), WrongRun, "not being evaluated")
    parties = evaluating()
    refuses(parties, _void(parties, "fund.2"), WrongRun, "not being evaluated")
    parties.enter(_void(parties, "fund.1"))
    assert (parties.state.public.run, parties.state.public.owed, parties.state.public.status) == (None, None, "active")
    refuses(parties, _void(parties, "fund.1"), WrongRun, "not being evaluated")


def _void(parties: Parties, run_id: str) -> SignedDocument:
    body = evaluating().void().body | {"operator": parties.operator.public_key, "run_id": run_id}
    return parties.operator.sign("run-void", body)


def test_what_is_owed_stays_owed_when_a_later_run_is_void() -> None:
    parties = owed()
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.void())
    assert (parties.state.public.status, parties.state.public.run) == ("frozen", None)
    assert parties.state.public.owed is not None
    parties.enter(parties.coverage())
    assert (parties.state.public.status, parties.state.public.owed) == ("active", None)


def test_a_run_is_overdue_once_recorded_and_once() -> None:
    parties = evaluating()
    refuses(parties, parties.overdue(run=OTHER), WrongRun, "does not wait for an answer")
    parties.enter(parties.record())
    refuses(parties, parties.overdue(run=OTHER), WrongRun, "does not wait for an answer")
    refuses(parties, parties.overdue(run_id="fund.2"), WrongRun, "does not wait for an answer")
    overdue = parties.enter(parties.overdue())
    assert (parties.run.stage, parties.state.public.status) == ("unproven", "frozen")
    assert parties.state.public.owed == parties.run.commitments
    refuses(parties, overdue, WrongRun, "does not wait for an answer")
    parties.enter(parties.answer("breach"))
    refuses(parties, overdue, WrongRun, "does not wait for an answer")
    parties = asked()
    overdue = parties.enter(parties.overdue())
    assert (parties.run.stage, parties.state.public.status, parties.state.public.owed) == ("not_proven", "active", None)
    refuses(parties, overdue, WrongRun, "does not wait for an answer")
    parties.enter(parties.second_opened())
    refuses(parties, overdue, WrongRun, "does not wait for an answer")
    parties.enter(parties.record())
    # That of the first run is none of the second.
    refuses(parties, overdue, WrongRun, "does not wait for an answer")


def test_nothing_is_overdue_without_a_run() -> None:
    parties = covered()
    body = recorded().overdue().body | {"operator": parties.operator.public_key}
    refuses(parties, parties.operator.sign("overdue", body), WrongRun, "does not wait for an answer")
