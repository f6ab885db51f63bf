"""Custody in the machine: which books come in force, and how one of a silent institution is opened."""

from typing import Any

import pytest

from atomic_margin.service.protocol.account.entries import Chain, followed
from atomic_margin.service.protocol.account.errors import (
    NotCovered,
    RunNotOver,
    WrongBook,
    WrongCustody,
    WrongOpening,
    WrongRun,
)
from atomic_margin.service.protocol.states import AccountState

from . import story
from .documents import Parties, named
from .in_custody import (
    asked,
    booked,
    lapse,
    open_request,
    opened,
    opened_account,
    owed,
    policy,
    receipts,
    request,
    sharing,
    submission,
)
from .story import refuses


def _shared(parties: Parties) -> Any:
    book = parties.state.public.book
    assert book is not None
    return book.shared


def _opening(parties: Parties) -> Any:
    custody = parties.state.public.custody
    assert custody is not None
    return custody.opening


def test_a_book_that_all_have_receipted_comes_in_force() -> None:
    parties = opened_account()
    parties.enter(submission(parties, 1, "a"))
    shared = _shared(parties)
    assert (shared.policy, shared.deal, shared.openings) == (policy().hash(), named("deal", "a"), 0)


def test_a_book_without_shares_is_refused() -> None:
    parties = opened_account()
    refuses(parties, parties.submission(1, "a"), WrongCustody, "dealt to its custodians first")


def test_too_few_receipts_bring_no_book_in_force() -> None:
    parties = opened_account()
    few = receipts(parties, "a", points=(1, 2, 5))
    refuses(parties, submission(parties, 1, "a", receipts=few), WrongCustody, "it takes 4")


def test_a_book_under_another_policy_is_refused() -> None:
    parties = opened_account()
    other = policy(3).hash()
    refuses(parties, submission(parties, 1, "a", policy=other), WrongCustody, "another custody policy")


def test_an_account_without_custodians_takes_no_deal() -> None:
    parties, with_custody = story.covered(), opened_account()
    said = sharing(with_custody, "b")
    refuses(parties, parties.submission(2, "b", sharing=said), WrongCustody, "no custodians")


def test_the_same_book_keeps_its_deal_without_receipts() -> None:
    parties = opened_account()
    parties.enter(submission(parties, 1, "a"))
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    refuses(
        parties,
        submission(parties, 2, "a", 2, deal="another", receipts=[]),
        WrongCustody,
        "0 custodians have receipted",
    )
    parties.enter(submission(parties, 2, "a", 2, receipts=[]))
    assert _shared(parties).deal == named("deal", "a")
    refuses(parties, submission(parties, 3, "b", 2, receipts=[]), WrongCustody, "0 custodians have receipted")


def test_another_book_is_under_its_own_deal() -> None:
    parties = opened_account()
    parties.enter(submission(parties, 1, "a"))
    parties.enter(submission(parties, 2, "b"))
    assert _shared(parties).deal == named("deal", "b")


def test_an_opening_is_asked_for_of_a_run_that_is_owed() -> None:
    parties = owed()
    document = request(parties)
    parties.enter(document)
    assert open_request(parties) == document.body_hash()
    assert _shared(parties).openings == 1


@pytest.mark.parametrize("stage", ["due", "evaluating", "awaiting", "covered"])
def test_before_an_answer_is_overdue_nothing_is_opened(stage: str) -> None:
    parties = booked()
    steps = {"due": 0, "evaluating": 1, "awaiting": 2, "covered": 3}[stage]
    for make in (parties.run_opened, parties.record, lambda: parties.answer("covered"))[:steps]:
        parties.enter(make())
    asking = owed()
    body = request(asking).body | {"entry": parties.chain.head, "operator": parties.operator.public_key}
    document = parties.operator.sign("opening-request", body)
    with pytest.raises(Exception, match="not possible in that state") as caught:
        parties.enter(document)
    assert type(caught.value).__name__ == "IllegalTransition"


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"sequence": "2"}, Exception, "sequence"),
        ({"entry": named("other")}, WrongOpening, "another entry"),
        ({"run_id": "fund.9"}, WrongRun, "another run"),
        ({"run": named("other")}, WrongRun, "another run"),
        ({"submission": named("other")}, WrongBook, "another book"),
        ({"deal": named("other")}, WrongBook, "another book, policy or deal"),
        ({"policy": named("other")}, WrongBook, "another book, policy or deal"),
    ],
)
def test_a_request_about_something_else_is_refused(changes: dict[str, str], error: type[Exception], match: str) -> None:
    parties = owed()
    with pytest.raises(error, match=match):
        parties.enter(request(parties, **changes))


@pytest.mark.parametrize("outcome", ["covered", "breach"])
def test_who_is_silent_from_tick_to_tick_is_opened_at_the_newest_run(outcome: str) -> None:
    """Every tick has a run, whose own time may not be over: the book is owed since an earlier one."""
    parties = owed()
    parties.tick()
    for document in (parties.run_opened, parties.record):
        parties.enter(document())
    assert parties.run.stage == "awaiting"
    parties.enter(request(parties))
    parties.enter(opened(parties, outcome))
    assert parties.state.public.status == (AccountState.ACTIVE if outcome == "covered" else AccountState.FROZEN)
    assert _opening(parties) is None


def test_a_run_that_is_to_be_proven_first_is_not_opened() -> None:
    parties = owed()
    parties.tick()
    parties.enter(parties.record(evaluated=False))
    refuses(parties, request(parties), WrongRun, "is to be proven first")


def test_its_time_may_be_over_while_it_is_opened() -> None:
    parties = owed()
    parties.tick()
    for document in (parties.run_opened, parties.record):
        parties.enter(document())
    parties.enter(request(parties))
    parties.enter(parties.overdue())
    parties.enter(opened(parties, "breach"))
    assert parties.run.stage == "breach"


def test_while_it_is_evaluated_a_run_is_not_opened() -> None:
    parties = owed()
    asking = request(parties)
    parties.tick()
    parties.enter(parties.run_opened())
    document = parties.operator.sign("opening-request", asking.body | {"entry": parties.chain.head})
    refuses(parties, document, WrongRun, "takes an answer")


def test_one_opening_at_a_time() -> None:
    parties = asked()
    refuses(parties, request(parties), WrongOpening, "is not over")


def test_a_book_is_opened_no_more_often_than_agreed() -> None:
    parties = asked(policy(openings=2))
    parties.enter(lapse(parties))
    parties.enter(request(parties))
    parties.enter(lapse(parties))
    refuses(parties, request(parties), WrongOpening, "no more is allowed")


def test_the_budget_is_of_the_book_and_not_of_its_keys() -> None:
    parties = asked(policy(openings=1))
    parties.enter(lapse(parties))
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    parties.enter(submission(parties, 2, "a", 2, receipts=[]))
    assert _shared(parties).openings == 1
    refuses(parties, request(parties), WrongOpening, "no more is allowed")


def test_while_a_book_is_opened_no_run_begins() -> None:
    parties = asked()
    parties.tick()
    refuses(parties, parties.run_opened(), RunNotOver, "custodians open the book")
    parties.enter(lapse(parties))
    parties.enter(parties.run_opened())


def test_what_is_found_covered_ends_the_run_without_the_institution() -> None:
    parties = asked()
    parties.enter(opened(parties))
    public = parties.state.public
    assert (public.status, public.run, public.owed, _opening(parties)) == (AccountState.ACTIVE, None, None, None)
    assert public.book is not None
    assert (public.book.covered, public.book.void) == (None, 1)


def test_what_is_found_covered_frees_nothing_before_a_proof() -> None:
    """One of them that deviates can deny a breach: an institution in breach would take out what it has."""
    parties = asked()
    in_breach = parties.run.commitments
    # A flat book, which waits while the other one is owed.
    parties.enter(submission(parties, 2, "b"))
    parties.enter(opened(parties, "covered"))
    refuses(parties, parties.instruction(2, "withdraw", 900), NotCovered, "a book waits")
    parties.tick()
    for make in (parties.run_opened, parties.record):
        parties.enter(make())
    book = parties.state.public.book
    assert book is not None
    assert book.commitments == in_breach
    parties.enter(parties.answer("covered"))
    book = parties.state.public.book
    assert book is not None
    assert (book.commitments != in_breach, book.void) == (True, None)


def test_what_is_found_covered_keeps_free_collateral_until_a_proof() -> None:
    parties = booked()
    for make in (parties.run_opened, parties.record, lambda: parties.answer("covered")):
        parties.enter(make())
    parties.tick()
    for make in (parties.run_opened, parties.record, parties.overdue, lambda: request(parties)):
        parties.enter(make())
    parties.enter(opened(parties, "covered"))
    refuses(parties, parties.instruction(2, "withdraw", 900), NotCovered, "custodians opened it")
    parties.enter(parties.coverage())
    parties.enter(parties.instruction(2, "withdraw", 900))
    assert not parties.state.private.free


def test_what_is_found_in_breach_is_settled_like_an_answer() -> None:
    parties = asked()
    document = opened(parties, "breach")
    parties.enter(document)
    run = parties.run
    assert (run.stage, run.answer, run.top_up) == ("breach", document.body_hash(), 7)
    parties.enter(parties.settlement([("USDC", 7, "free", "posted")]))
    assert parties.state.public.status is AccountState.ACTIVE
    assert parties.state.public.posted == {"USDC": 107}


def test_a_breach_that_was_opened_liquidates_what_free_collateral_does_not_reach() -> None:
    parties = asked()
    parties.enter(opened(parties, "breach"))
    parties.enter(parties.settlement(story.everything(parties)))
    assert parties.state.public.status is AccountState.IN_DEFAULT


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"request": named("other")}, WrongOpening, "another opening"),
        ({"run_id": "fund.9"}, WrongRun, "another run"),
        ({"run": named("other")}, WrongRun, "another run"),
        ({"submission": named("other")}, WrongRun, "another run"),
        ({"price_sequence": "2"}, WrongRun, "another run"),
    ],
)
@pytest.mark.parametrize("outcome", ["covered", "breach"])
def test_a_finding_about_something_else_is_refused(
    outcome: str, changes: dict[str, str], error: type[Exception], match: str
) -> None:
    parties = asked()
    refuses(parties, opened(parties, outcome, **changes), error, match)


def test_fewer_verdicts_than_the_threshold_find_nothing() -> None:
    parties = asked()
    refuses(parties, opened(parties, "breach", (1,)), WrongCustody, "it takes 2")


def test_a_finding_comes_once() -> None:
    parties = asked()
    late = opened(parties, "breach")
    parties.enter(opened(parties))
    with pytest.raises(Exception, match="not possible in that state"):
        parties.enter(late)


def test_a_finding_of_an_opening_that_lapsed_finds_nothing() -> None:
    parties = asked()
    late = opened(parties, "breach")
    parties.enter(lapse(parties))
    refuses(parties, late, WrongOpening, "another opening")
    parties.enter(request(parties))
    refuses(parties, late, WrongOpening, "another opening")


@pytest.mark.parametrize("outcome", ["covered", "breach"])
def test_an_answer_that_comes_first_wins(outcome: str) -> None:
    parties = asked()
    late = opened(parties, "breach")
    parties.enter(parties.answer(outcome))
    assert _opening(parties) is None
    with pytest.raises(Exception, match=r"not possible in that state|takes an answer"):
        parties.enter(late)


def test_a_proof_that_nobody_asked_for_comes_first_too() -> None:
    parties = asked()
    parties.tick()
    late = opened(parties, "breach")
    parties.enter(parties.coverage())
    assert _opening(parties) is None
    with pytest.raises(Exception, match="not possible in that state"):
        parties.enter(late)


def test_a_book_that_is_given_up_is_not_opened() -> None:
    parties = asked()
    late = opened(parties, "breach")
    parties.enter(parties.giving_up())
    assert _opening(parties) is None
    with pytest.raises(Exception, match="not possible in that state"):
        parties.enter(late)


def test_nothing_leaves_while_a_book_is_opened() -> None:
    parties = asked()
    with pytest.raises(Exception, match="not possible in that state"):
        parties.enter(parties.instruction(2, "withdraw", 5))


def test_a_request_counts_for_a_waiting_book_not_at_all() -> None:
    parties = owed()
    parties.enter(submission(parties, 2, "b"))
    assert parties.state.public.waiting is not None
    parties.enter(request(parties))
    parties.enter(opened(parties))
    public = parties.state.public
    assert public.book is not None
    assert public.book.shared is not None
    assert public.book.shared.deal in (named("deal", "a"), named("deal", "b"))


def test_the_institution_comes_to_the_same() -> None:
    parties = asked()
    parties.enter(opened(parties, "breach"))
    chain = Chain()
    for entry, document in parties.entries:
        chain = followed(chain, entry, document, parties.salts, parties.operator.public_key)
    assert chain == parties.chain


def failed() -> Parties:
    """A book that custodians have; its run was begun, could not be evaluated, and is recorded all the same."""
    parties = booked()
    parties.enter(parties.run_opened())
    parties.enter(parties.record(evaluated=False))
    return parties


def test_a_run_that_could_not_be_evaluated_is_owed_and_opened() -> None:
    """Else whoever makes its evaluations fail would never be opened: custodians need none."""
    parties = failed()
    assert (parties.run.stage, parties.run.evaluated, parties.run.failed) == ("awaiting", False, True)
    refuses(parties, parties.answer("breach"), WrongRun, "was not evaluated; no breach can be answered")
    parties.enter(parties.overdue())
    public = parties.state.public
    assert (public.status, public.owed) == (AccountState.FROZEN, parties.run.commitments)
    parties.enter(request(parties))
    parties.enter(opened(parties, "breach"))
    parties.enter(parties.settlement(story.everything(parties)))
    assert parties.state.public.status is AccountState.IN_DEFAULT


def test_a_run_that_could_not_be_evaluated_is_answered_as_covered() -> None:
    parties = failed()
    parties.enter(parties.answer("covered"))
    book = parties.state.public.book
    assert book is not None
    assert (parties.state.public.run, book.covered) == (None, 1)


def test_without_custodians_a_run_is_void_and_has_no_record_without_outputs() -> None:
    parties = story.evaluating()
    refuses(parties, parties.record(evaluated=False), RunNotOver, "is not over")
    parties.enter(parties.void())


def test_a_run_that_failed_after_it_was_not_proven_is_owed() -> None:
    parties = booked()
    for make in (lambda: parties.record(evaluated=False), parties.overdue, parties.second_opened):
        parties.enter(make())
    record = parties.record(evaluated=False, run_id=parties.run.run_id)
    parties.enter(record)
    assert parties.run.failed
    parties.enter(parties.overdue())
    parties.enter(request(parties))


def test_a_failed_run_gives_way_to_that_of_the_next_tick_once_it_is_owed() -> None:
    parties = failed()
    parties.tick()
    refuses(parties, parties.run_opened(), RunNotOver, "is not over")
    parties.enter(parties.overdue())
    parties.enter(parties.run_opened())
    assert (parties.run.failed, parties.run.stage) == (False, "evaluating")
