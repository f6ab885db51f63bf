"""Rules of answers, settlements and proofs that nobody asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.errors import InsufficientFunds
from atomic_margin.service.protocol.account.errors import (
    RunNotOver,
    WrongBook,
    WrongCollateral,
    WrongRun,
    WrongTick,
)  # fmt: skip

from .documents import Parties, named
from .story import (
    asked,
    booked,
    breached,
    covered,
    evaluating,
    everything,
    not_proven,
    owed,
    recorded,
    refuses,
    void,
)  # fmt: skip

OTHER = named("other")


@pytest.mark.parametrize("stage", [booked, covered, evaluating, not_proven, breached, void])
@pytest.mark.parametrize("outcome", ["covered", "breach"])
def test_an_answer_is_to_a_run_that_waits_for_it(stage: Callable[[], Parties], outcome: str) -> None:
    parties = stage()
    body = recorded().answer(outcome).body | {"operator": parties.operator.public_key}
    refuses(parties, parties.institution.sign("answer", body), WrongRun, "takes no answer")


@pytest.mark.parametrize("stage", [recorded, asked, owed])
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"run_id": "fund.2"}, "takes no answer"),
        ({"run": OTHER}, "about another record"),
        ({"submission": OTHER}, "about another record"),
        ({"price_sequence": "2"}, "about another record"),
        ({"entry": OTHER}, "names another entry"),
    ],
)
def test_an_answer_is_about_the_record_and_names_its_entry(
    stage: Callable[[], Parties], changes: dict[str, Any], match: str
) -> None:
    parties = stage()
    refuses(parties, parties.answer("covered", **changes), WrongRun, match)
    parties.enter(parties.answer("covered"))
    book = parties.state.public.book
    assert book is not None
    assert (parties.state.public.run, parties.state.public.status, book.covered) == (None, "active", 1)


def test_an_answer_is_given_once() -> None:
    for outcome, other in (("covered", "covered"), ("covered", "breach"), ("breach", "covered"), ("breach", "breach")):
        parties = recorded()
        first, second = parties.answer(outcome), parties.answer(other, 8)
        parties.enter(first)
        refuses(parties, second, WrongRun, "takes no answer")
        refuses(parties, first, WrongRun, "takes no answer")


def test_an_answer_is_taken_when_newer_ticks_came() -> None:
    parties = recorded()
    parties.tick()
    parties.enter(parties.answer("covered"))
    book = parties.state.public.book
    assert book is not None
    assert book.covered == 1


def test_a_late_answer_frees_and_an_answer_to_an_earlier_run_does_not() -> None:
    parties = owed()
    late = parties.answer("covered")
    parties.tick()
    parties.enter(parties.run_opened())
    refuses(parties, late, WrongRun, "takes no answer")
    parties = owed()
    parties.enter(parties.answer("covered"))
    assert (parties.state.public.status, parties.state.public.owed) == ("active", None)


def test_a_breach_is_an_answer_to_an_evaluated_run() -> None:
    parties = asked()
    refuses(parties, parties.answer("breach"), WrongRun, "was not evaluated; no breach can be answered")
    for stage in (recorded, owed):
        parties = stage()
        answer = parties.enter(parties.answer("breach", 12))
        assert (parties.run.stage, parties.run.answer, parties.run.top_up) == ("breach", answer.body_hash(), 12)


# Settlements

CALL = [("USDC", 7, "free", "posted")]


@pytest.mark.parametrize("stage", [booked, covered, evaluating, recorded, owed, asked, not_proven, void])
def test_only_a_proven_breach_is_settled(stage: Callable[[], Parties]) -> None:
    parties = stage()
    body = breached().settlement(CALL).body | {"operator": parties.operator.public_key}
    refuses(parties, parties.operator.sign("settlement", body), WrongRun, "waits for its settlement")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"run_id": "fund.2"}, "no breach of run fund.2 waits"),
        ({"run": OTHER}, "of another answer"),
        ({"answer": OTHER}, "of another answer"),
        ({"top_up": "8"}, "of another answer"),
    ],
)
def test_a_settlement_is_of_the_answer(changes: dict[str, Any], match: str) -> None:
    for transfers in (CALL, [("USDC", 900, "free", "liquidation"), ("USDC", 100, "posted", "liquidation")]):
        parties = breached()
        refuses(parties, parties.settlement(transfers, **changes), WrongRun, match)
        parties.enter(parties.settlement(transfers))


def test_a_breach_is_settled_once() -> None:
    parties = breached()
    call = parties.enter(parties.settlement(CALL))
    refuses(parties, call, WrongRun, "waits for its settlement")
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("breach"))
    refuses(parties, call, WrongRun, "no breach of run fund.1 waits")


@pytest.mark.parametrize("stage", [recorded, owed])
def test_a_margin_call_posts_and_covers(stage: Callable[[], Parties]) -> None:
    parties = stage()
    parties.enter(parties.answer("breach"))
    parties.enter(parties.settlement(CALL))
    public, book = parties.state.public, parties.state.public.book
    assert (public.posted, parties.state.private.free) == ({"USDC": 107}, {"USDC": 893})
    assert book is not None
    assert (book.covered, public.run, public.owed, public.status) == (1, None, None, "active")


@pytest.mark.parametrize(
    "transfer",
    [("USDC", 7, "posted", "posted"), ("USDC", 7, "free", "liquidation"), ("USDC", 7, "posted", "liquidation")],
)
def test_a_margin_call_takes_no_other_way(transfer: tuple[str, int, str, str]) -> None:
    parties = breached()
    refuses(parties, parties.settlement([*CALL, transfer], kind="margin_call"), WrongCollateral, "and nothing else")


def test_a_margin_call_takes_no_more_than_there_is() -> None:
    parties = breached()
    refuses(parties, parties.settlement([("USDC", 901, "free", "posted")]), InsufficientFunds, "1 units of free USDC")
    refuses(parties, parties.settlement([("BTC", 1, "free", "posted")]), InsufficientFunds, "1 units of free BTC")


def test_a_liquidation_takes_everything_to_the_liquidation_account() -> None:
    parties = breached()
    whole = everything(parties)
    refuses(parties, parties.settlement([*whole, ("USDC", 1, "free", "posted")], kind="liquidation"),
            WrongCollateral, "and nowhere else")  # fmt: skip
    refuses(parties, parties.settlement([("USDC", 1, "free", "posted")], kind="liquidation"),
            WrongCollateral, "and nowhere else")  # fmt: skip
    refuses(parties, parties.settlement([], kind="liquidation"), WrongCollateral, "takes all")
    for index, (asset, quantity, *way) in enumerate(whole):
        rest = whole[:index] + whole[index + 1 :]
        refuses(parties, parties.settlement(rest), WrongCollateral, "takes all")
        refuses(parties, parties.settlement([*rest, (asset, quantity - 1, *way)]), WrongCollateral, "takes all")
        refuses(parties, parties.settlement([*rest, (asset, quantity + 1, *way)]), InsufficientFunds, "less than that")
    parties.enter(parties.settlement(whole))
    assert (parties.state.private.free, parties.state.public.posted) == ({}, {})
    assert parties.state.public.status == "in_default"


def test_a_liquidation_takes_what_arrived_meanwhile_too() -> None:
    parties = breached()
    before = everything(parties)
    # What a breach takes is counted from what its run counts, so that nothing is posted before it took it.
    refuses(parties, parties.instruction(2, "post", 50), RunNotOver, "post after it is answered")
    parties.enter(parties.deposit(50))
    refuses(parties, parties.settlement(before), WrongCollateral, "takes all")
    parties.enter(parties.settlement(everything(parties)))


# Proofs that nobody asked for


def due_and_passed(stage: Callable[[], Parties]) -> Parties:
    parties = stage()
    parties.tick()
    return parties


@pytest.mark.parametrize(
    ("stage", "frozen"),
    [
        (booked, False),
        (void, False),
        (not_proven, False),
        (owed, True),
        (lambda: due_and_passed(covered), False),
        (lambda: due_and_passed(void), False),
        (lambda: due_and_passed(not_proven), False),
        (lambda: due_and_passed(owed), True),
        (lambda: due_and_passed(evaluating), False),
    ],
)
def test_what_is_due_owed_or_stuck_with_the_operator_is_proven_unasked(
    stage: Callable[[], Parties], frozen: bool
) -> None:
    parties = stage()
    assert (parties.state.public.status == "frozen") == frozen
    parties.enter(parties.submission(2, "b"))
    parties.enter(parties.coverage())
    public = parties.state.public
    assert (public.status, public.run, public.owed, public.last_run) == ("active", None, None, parties.market)
    assert public.book is not None
    assert (public.book.sequence, public.waiting) == (2, None)
    # The tick needs no run any more.
    refuses(parties, parties.run_opened(), WrongTick, "it had a run")


@pytest.mark.parametrize("stage", [evaluating, recorded, asked, breached])
def test_a_run_that_can_be_answered_or_is_just_evaluated_is_not_passed_over(stage: Callable[[], Parties]) -> None:
    parties = stage()
    refuses(parties, parties.coverage(), RunNotOver, "is open; answer it")
    parties.tick()
    if stage is not evaluating:
        refuses(parties, parties.coverage(), RunNotOver, "is open; answer it")


def test_what_was_passed_over_is_evaluated_no_more() -> None:
    parties = due_and_passed(evaluating)
    record, end = parties.record(), parties.void()
    parties.enter(parties.coverage())
    refuses(parties, record, WrongRun, "not the one that is being evaluated")
    refuses(parties, end, WrongRun, "not being evaluated")
    parties = not_proven()
    second = parties.second_opened()
    parties.enter(parties.coverage())
    refuses(parties, second, WrongTick, "it had a run")


def test_nothing_is_proven_unasked_when_nothing_is_wanted() -> None:
    parties = covered()
    refuses(parties, parties.coverage(), WrongTick, "nothing is owed or due")
    parties.tick(void=True)
    refuses(parties, parties.coverage(), WrongTick, "nothing is owed or due")
    parties = Parties()
    parties.opened()
    parties.tick()
    body = owed().coverage().body | {"operator": parties.operator.public_key}
    refuses(parties, parties.institution.sign("coverage", body), WrongBook, "no book in force")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"submission": OTHER}, WrongBook, "another book than the one in force"),
        ({"price_sequence": "1"}, WrongTick, "not at the newest tick, 2"),
        ({"tick": OTHER}, WrongTick, "not at the newest tick, 2"),
        ({"posted": {}}, WrongCollateral, "other collateral"),
        ({"posted": {"USDC": "101"}}, WrongCollateral, "other collateral"),
        ({"instructions": "0"}, WrongCollateral, "other collateral"),
        ({"entry": OTHER}, WrongRun, "another entry than the account's last"),
    ],
)
def test_an_unasked_proof_is_about_the_account_as_it_is(
    changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    parties = owed()
    parties.tick()
    refuses(parties, parties.coverage(**changes), error, match)
    older = parties.coverage()
    parties.enter(parties.deposit(1))
    refuses(parties, older, WrongRun, "another entry than the account's last")
    parties.enter(parties.coverage())


def test_an_unasked_proof_counts_what_was_posted_since() -> None:
    parties = owed()
    parties.enter(parties.instruction(2, "post", 50))
    assert parties.coverage().body["posted"] == {"USDC": "150"}
    parties.enter(parties.coverage())
