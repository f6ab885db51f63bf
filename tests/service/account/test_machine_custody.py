"""Custody in the machine: other custodians, and books that are re-shared to them."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.errors import IllegalTransition, Refused
from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.entries import Chain, followed
from atomic_margin.service.protocol.account.errors import (
    IllegalEvent,
    OutOfSequence,
    RunNotOver,
    WrongBook,
    WrongCustody,
    WrongOpening,
    WrongRun,
    WrongSigner,
    WrongTick,
)
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.account.state import SharedBook
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.resharings import check_reshared
from atomic_margin.service.protocol.states import AccountState

from . import in_custody, story
from .documents import Parties, named
from .in_custody import amended, amendment, booked, policy, resharing, submission, successors
from .story import refuses


def shared(parties: Parties) -> SharedBook:
    book = parties.state.public.book
    assert book is not None
    assert book.shared is not None
    return book.shared


def covered(parties: Parties | None = None) -> Parties:
    parties = parties or booked()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    return parties


def owed_again(parties: Parties) -> Parties:
    parties.tick()
    for make in (parties.run_opened, parties.record, parties.overdue):
        parties.enter(make())
    return parties


def moved() -> Parties:
    parties = amended()
    parties.enter(resharing(parties))
    return parties


# Another policy


def test_both_sides_put_other_custodians_in_place() -> None:
    parties = amended()
    public = parties.state.public
    assert public.custody is not None
    assert (public.custody.policy, public.custody_amendments) == (successors().hash(), 1)
    # The book in force stays with those it was dealt to.
    assert (shared(parties).policy, shared(parties).deal) == (policy().hash(), named("deal", "a"))
    refuses(parties, submission(parties, 2, "b"), WrongCustody, "another custody policy")
    parties.custody = successors()
    parties.enter(submission(parties, 2, "b"))


def test_the_same_book_under_other_keys_keeps_its_deal_under_the_policy_before() -> None:
    parties = amended()
    parties.enter(parties.enrolment(2))
    parties.enter(parties.confirmation(2))
    parties.enter(submission(parties, 2, "a", 2, receipts=[]))
    assert (shared(parties).policy, shared(parties).deal) == (policy().hash(), named("deal", "a"))


def test_a_book_under_the_policy_before_is_opened_by_its_threshold_as_often_as_it_says() -> None:
    """The account came under a policy that wants more signatures, and lets books be opened more often."""
    parties = covered(booked(policy(1)))
    parties.enter(amendment(parties, successors()))
    owed_again(parties)
    parties.enter(in_custody.request(parties))
    assert (shared(parties).threshold, shared(parties).most, shared(parties).openings) == (2, 1, 1)
    refuses(parties, in_custody.opened(parties, points=(1,)), WrongCustody, "it takes 2")
    parties.enter(in_custody.lapse(parties))
    refuses(parties, in_custody.request(parties), WrongOpening, "no more is allowed")


def test_dealt_again_a_book_was_opened_as_often() -> None:
    parties = in_custody.asked(policy(1))
    parties.enter(in_custody.opened(parties))
    parties.enter(submission(parties, 2, "a", deal="another"))
    assert (shared(parties).deal, shared(parties).openings) == (named("another", "a"), 1)


def test_a_book_that_is_opened_is_not_dealt_again() -> None:
    """The policy in force wants more signatures than the book's: dealt under it, what was found would be too few."""
    parties = covered(booked(policy(3)))
    many = {point: (in_custody.CUSTODIANS | in_custody.SUCCESSORS)[point] for point in (1, 2, 3, 4, 5, 7, 9)}
    custodians = [
        {
            "point": str(point),
            "name": f"c{point}",
            "identity": one.public_key,
            "encryption_key": f"{point + 16:064x}",
        }
        for point, one in many.items()
        if point != 7
    ]
    after = policy(threshold="3", custodians=custodians)
    parties.enter(amendment(parties, after))
    owed_again(parties)
    parties.enter(in_custody.request(parties))
    parties.custody = after
    signed = in_custody.receipts(parties, "a", "another", (1, 2, 5, 9)) * 2
    again = submission(parties, 2, "a", deal="another", receipts=signed)
    refuses(parties, again, RunNotOver, "deal it anew after that")
    parties.enter(in_custody.opened(parties))
    parties.enter(again)


@pytest.mark.parametrize("before", [policy(3), None])
def test_a_book_is_not_dealt_anew_while_a_run_of_it_is_open(before: CustodyPolicy | None) -> None:
    """The record of the run is with the custodians that were there, and bundles and verifiers go by it."""
    parties = story.covered() if before is None else covered(booked(before))
    after = policy(2) if before is None else policy(4)
    parties.enter(amendment(parties, after))
    parties.tick()
    parties.custody = after
    again = submission(parties, 2, "a", deal="another")
    for make in (parties.run_opened, parties.record, parties.overdue):
        parties.enter(make())
        refuses(parties, again, RunNotOver, "deal it anew after that")


def test_an_account_comes_to_have_custodians() -> None:
    parties = story.covered()
    parties.enter(amendment(parties, policy()))
    book = parties.state.public.book
    assert book is not None
    assert book.shared is None
    parties.custody = policy()
    refuses(parties, parties.submission(2, "b"), WrongCustody, "dealt to its custodians first")
    parties.enter(submission(parties, 2, "b"))


def test_a_book_from_before_there_were_custodians_is_not_opened() -> None:
    parties = story.covered()
    parties.enter(amendment(parties, policy()))
    owed_again(parties)
    asking = in_custody.owed()
    said = {"run_id": parties.run.run_id, "run": parties.run.record, "entry": parties.chain.head}
    body = in_custody.request(asking).body | said | {"operator": parties.operator.public_key}
    document = parties.operator.sign("opening-request", body)
    refuses(parties, document, WrongCustody, "no shares of the book")


def test_both_sides_do_without_custodians() -> None:
    parties = covered()
    parties.enter(amendment(parties, None))
    public = parties.state.public
    assert public.custody is None
    assert public.book is not None
    assert public.book.shared is None
    parties.enter(parties.submission(2, "b"))
    parties.enter(amendment(parties, policy()))
    assert parties.state.public.custody_amendments == 2


def test_nobody_amends_custody_alone() -> None:
    parties = covered()
    for custody in (successors(), None):
        body = amendment(parties, custody).body
        refuses(parties, CustodyAmendment.parse(body).signed_by(parties.operator), WrongSigner, "by the institution")


def due() -> Parties:
    return booked()


def evaluating() -> Parties:
    parties = booked()
    parties.enter(parties.run_opened())
    return parties


def recorded() -> Parties:
    parties = evaluating()
    parties.enter(parties.record())
    return parties


@pytest.mark.parametrize("stage", [due, evaluating, recorded], ids=lambda stage: stage.__name__)
@pytest.mark.parametrize("custody", [successors(), None], ids=["others", "none"])
def test_between_runs_alone_custodians_change(stage: Callable[[], Parties], custody: Any) -> None:
    parties = stage()
    refuses(parties, amendment(parties, custody), RunNotOver, "open, due or owed")


@pytest.mark.parametrize("stage", [in_custody.owed, in_custody.asked], ids=["owed", "opened"])
@pytest.mark.parametrize("custody", [successors(), None], ids=["others", "none"])
def test_who_owes_does_not_get_rid_of_custodians(stage: Callable[[], Parties], custody: Any) -> None:
    parties = stage()
    assert parties.state.public.status is AccountState.FROZEN
    with pytest.raises(IllegalTransition, match="not possible in that state"):
        parties.enter(amendment(parties, custody))


def test_an_amendment_of_custody_is_good_once() -> None:
    parties = covered()
    there = amendment(parties, successors())
    parties.enter(there)
    refuses(parties, there, WrongCustody, "follows another custody policy")
    parties.enter(amendment(parties, policy()))
    refuses(parties, there, OutOfSequence, "the next amendment sequence number is 3")


def test_without_custodians_in_between_it_is_good_once_too() -> None:
    parties = story.covered()
    first = amendment(parties, policy())
    parties.enter(first)
    parties.enter(amendment(parties, None))
    refuses(parties, first, OutOfSequence, "the next amendment sequence number is 3")


def test_an_amendment_of_custody_names_the_policy_before_and_another_one_after() -> None:
    parties = covered()
    refuses(parties, amendment(parties, successors(), before=named("x")), WrongCustody, "follows another custody")
    refuses(parties, amendment(parties, policy()), WrongCustody, "under this custody policy already")
    plain = story.covered()
    refuses(plain, amendment(plain, None), WrongCustody, "under this custody policy already")


def test_an_amendment_of_custody_is_void_after_its_last_tick() -> None:
    parties = covered()
    document = amendment(parties, successors())
    for _ in range(2):
        parties.tick()
        covered(parties)
    refuses(parties, document, WrongTick, "at the latest")


def test_requests_to_open_are_numbered_over_policies() -> None:
    parties = in_custody.asked()
    parties.enter(in_custody.opened(parties))
    parties.enter(amendment(parties, successors()))
    owed_again(parties)
    document = in_custody.request(parties)
    assert document.body["sequence"] == "2"
    parties.enter(document)


# Re-sharing


def test_custodians_re_share_a_book_to_those_of_the_policy_in_force() -> None:
    parties = moved()
    found = shared(parties)
    assert (found.policy, found.deal, found.threshold, found.most) == (successors().hash(), named("reshared"), 2, 2)
    chain = Chain()
    for entry, document in parties.entries:
        chain = followed(chain, entry, document, parties.salts, parties.operator.public_key)
    assert chain == parties.chain


def test_the_same_policy_again_is_a_refresh() -> None:
    parties = covered()
    parties.enter(resharing(parties, policy()))
    assert (shared(parties).policy, shared(parties).deal) == (policy().hash(), named("reshared"))


def test_the_new_deal_is_the_one_that_is_opened() -> None:
    parties = owed_again(moved())
    old = {"policy": policy().hash(), "deal": named("deal", "a")}
    refuses(parties, in_custody.request(parties, **old), WrongBook, "another book, policy or deal")
    parties.enter(in_custody.request(parties))


def test_how_often_a_book_was_opened_stays() -> None:
    parties = in_custody.asked()
    parties.enter(in_custody.opened(parties))
    parties.enter(resharing(parties, policy()))
    assert shared(parties).openings == 1


def test_a_frozen_account_is_re_shared() -> None:
    """Custodians are there, and their institution is not. The run before is with those who had the book at its record.

    A bundle shows the account at the record of a run: who signs what is found has to be in the policy of that moment.
    """
    parties = owed_again(amended())
    assert parties.state.public.status is AccountState.FROZEN
    document = resharing(parties)
    parties.enter(document)
    assert parties.run.reshared == document.body_hash()
    refuses(parties, in_custody.request(parties), WrongRun, "re-shared after run .* the next tick can be opened")
    owed_again(parties)
    assert parties.run.reshared is None
    parties.enter(in_custody.request(parties))


def test_while_a_book_is_opened_its_shares_stay_where_they_are() -> None:
    parties = owed_again(amended())
    parties.enter(in_custody.request(parties))
    refuses(parties, resharing(parties), WrongOpening, "after that")


def test_a_waiting_book_is_re_shared() -> None:
    parties = booked()
    parties.enter(parties.run_opened())
    parties.enter(submission(parties, 2, "b"))
    waiting = parties.state.public.waiting
    assert waiting is not None
    assert waiting.shared is not None
    before = {"policy": waiting.shared.policy, "deal": waiting.shared.deal}
    parties.enter(resharing(parties, policy(), book=waiting.commitments, before=before))
    after = parties.state.public.waiting
    assert after is not None
    assert after.shared is not None
    assert (after.shared.deal, shared(parties).deal) == (named("reshared"), named("deal", "a"))


def test_the_operator_does_not_re_share_to_its_own_custodians() -> None:
    """The policy is the one that the institution signed, whatever receipts there are."""
    parties = covered()
    refuses(parties, resharing(parties, successors()), WrongCustody, "another custody policy than the account's")
    later = amended()
    refuses(later, resharing(later, policy()), WrongCustody, "another custody policy than the account's")
    plain = story.covered()
    document = Resharing.parse({**resharing(later).body, "operator": plain.operator.public_key})
    refuses(plain, document.signed_by(plain.operator), WrongCustody, "no custodians")


def test_nobody_but_the_operator_enters_a_re_sharing() -> None:
    parties = amended()
    body = resharing(parties).body
    refuses(parties, Resharing.parse(body).signed_by(parties.institution), WrongSigner, "by the operator")


def test_of_two_re_sharings_at_once_one_counts() -> None:
    parties = amended()
    second = resharing(parties, deal="other", dealers=["2", "9"]).body
    parties.enter(resharing(parties))
    again = Resharing.parse({**second, "entry": parties.chain.head}).signed_by(parties.operator)
    refuses(parties, again, WrongBook, "no book in force")


def test_a_re_sharing_is_not_entered_again() -> None:
    parties = covered()
    first = resharing(parties, policy())
    parties.enter(first)
    refuses(parties, first, WrongCustody, "another entry than the account's last")
    again = Resharing.parse({**first.body, "entry": parties.chain.head}).signed_by(parties.operator)
    refuses(parties, again, WrongBook, "no book in force")
    parties.enter(resharing(parties, policy(), deal="second"))
    # Not after another one either.
    again = Resharing.parse({**first.body, "entry": parties.chain.head}).signed_by(parties.operator)
    refuses(parties, again, WrongBook, "no book in force")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"receipts": []}, WrongCustody, "0 custodians have receipted"),
        ({"dealers": ["1"]}, WrongCustody, "1 custodians passed their shares on, and it takes 2"),
        ({"dealers": ["1", "2", "5"]}, WrongCustody, "3 custodians passed"),
        ({"book": named("other")}, WrongBook, "no book in force"),
        ({"before": {"policy": policy().hash(), "deal": named("other")}}, WrongBook, "no book in force"),
        ({"before": {"policy": successors().hash(), "deal": named("deal", "a")}}, WrongBook, "no book in force"),
        ({"entry": named("other")}, WrongCustody, "another entry"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_a_re_sharing_that_is_about_something_else(changes: Any, error: type[IllegalEvent], match: str) -> None:
    parties = amended()
    refuses(parties, resharing(parties, **changes), error, match)


def test_a_re_sharing_brings_another_deal() -> None:
    parties = amended()
    body = resharing(parties).body | {"deal": shared(parties).deal}
    refuses(parties, Resharing.parse(body).signed_by(parties.operator), WrongCustody, "the new deal is the one before")


def test_too_few_new_custodians_take_over_no_book() -> None:
    parties = amended()
    receipts = resharing(parties).body["receipts"][:3]
    refuses(parties, resharing(parties, receipts=receipts), WrongCustody, "it takes 4")


# Receipts


def said(parties: Parties, **changes: Any) -> Resharing:
    return Resharing.parse(resharing(parties, **changes).body)


def test_receipts_of_a_re_sharing_hold() -> None:
    assert check_reshared(said(amended()), successors()) == (1, 3, 4, 7)


def test_receipts_for_the_institution_s_deal_are_none_for_a_re_sharing_back_to_it() -> None:
    """After a refresh, the operator shows the first deal again, with the receipts of its submission."""
    parties = covered()
    first = shared(parties).deal
    parties.enter(resharing(parties, policy()))
    body = resharing(parties, policy(), deal="x").body
    old = in_custody.receipts(parties, "a")
    back = Resharing.parse({**body, "deal": first, "receipts": old})
    with pytest.raises(Refused, match="another dealing"):
        check_reshared(back, policy())


@pytest.mark.parametrize("field", ["deal", "policy", "book", "institution", "dealing"])
def test_receipts_of_something_else(field: str) -> None:
    parties = amended()
    value = "harbour" if field == "institution" else named("x")
    good = said(parties)
    receipts = in_custody.reshared_receipts(good, successors(), **{field: value})
    bad = Resharing.parse({**resharing(parties).body, "receipts": receipts})
    with pytest.raises(Refused, match=f"another {field}"):
        check_reshared(bad, successors())


def test_receipts_are_for_these_dealers_at_this_time() -> None:
    """What is asked for is in the hash that they name: a receipt fits no other request."""
    parties = amended()
    body = resharing(parties).body
    for changes in ({"dealers": ["2", "9"]}, {"requested_at": "2026-11-27T12:00:01Z"}):
        with pytest.raises(Refused, match="another dealing"):
            check_reshared(Resharing.parse(body | changes), successors())


def test_a_custodian_counts_once() -> None:
    parties = amended()
    receipts = resharing(parties).body["receipts"]
    twice = Resharing.parse({**resharing(parties).body, "receipts": [*receipts[:3], receipts[0]]})
    with pytest.raises(Refused, match="counts once"):
        check_reshared(twice, successors())


def test_custodians_of_another_policy_receipt_nothing() -> None:
    with pytest.raises(Refused, match="another custody policy"):
        check_reshared(said(amended()), policy())
