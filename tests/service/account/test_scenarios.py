"""Attacks with genuine documents in the wrong order, played one by one: who stops each, and how.

The first three took money once, each ending in a bundle that verified. `test_orderings` finds them, and their kind, by
itself. What an operator enters here it signs whether the machine likes it or not (`forged`); the institution follows.
"""

from typing import Any

import pytest

from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.protocol.account.entries import extended, followed
from atomic_margin.service.protocol.account.errors import (
    EntryForged,
    EntryForked,
    EntryGap,
    EntryIllegal,
    EntryRefused,
    NotCovered,
    RunNotOver,
    WrongBook,
    WrongCollateral,
    WrongRun,
    WrongSigner,
    WrongTick,
)
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import LOG, TIME, Parties, named, tick
from .story import asked, booked, breached, covered, evaluating, forged, not_proven, owed, recorded, refuses
from .truth import settled


def refused_by_the_institution(
    parties: Parties, document: SignedDocument, kind: str, error: type[EntryRefused], match: str, **changes: Any
) -> None:
    """Make sure that the institution refuses an entry, with what the operator signed as its evidence."""
    entry = forged(parties, document, kind, **changes)
    with pytest.raises(EntryRefused, match=match) as caught:
        followed(parties.chain, entry, document, parties.salts, parties.operator.public_key)
    assert type(caught.value) is error
    shown = SignedDocument.parse(caught.value.evidence["entry"])
    shown.verify(frozenset({parties.operator.public_key}))
    assert caught.value.evidence["document"] == document.to_json()


def test_a_run_on_a_replaced_book() -> None:
    """It emptied a flat account. The operator's machine refuses it; the institution's does, and no answer is given."""
    parties = covered()
    old = parties.state.public.book
    assert old is not None
    parties.enter(parties.submission(2, "flat"))
    parties.tick()
    run = parties.run_opened(submission=old.submission)
    refuses(parties, run, WrongBook, "another submission than it must have")
    refused_by_the_institution(parties, run, "run opened", EntryIllegal, "another submission than it must have")
    record = parties.record(evaluated=False, submission=old.submission)
    refuses(parties, record, WrongBook, "another submission than it must have")
    refused_by_the_institution(parties, record, "run recorded", EntryIllegal, "another submission than it must have")


@pytest.mark.parametrize("stage", [recorded, asked, not_proven, owed])
def test_another_book_under_an_open_or_owed_run_and_then_a_withdrawal(stage: Any) -> None:
    """It emptied an insolvent account. The other book waits: the next run is on the insolvent one, nothing leaves."""
    parties = stage()
    insolvent = parties.state.public.book
    assert insolvent is not None
    flat = parties.enter(parties.submission(2, "flat"))
    if stage is recorded:
        parties.enter(parties.overdue())
    parties.tick()
    frozen = parties.state.public.status == "frozen"
    error, match = (IllegalTransition, "is frozen") if frozen else (RunNotOver, "open or due")
    refuses(parties, parties.instruction(2, "withdraw", 900), error, match)
    if parties.run.stage == "awaiting":
        parties.enter(parties.overdue())
    if parties.run.stage == "not_proven":
        refuses(parties, parties.second_opened(submission=flat.body_hash()), WrongBook, "another submission")
        parties.enter(parties.second_opened())
    else:
        refuses(parties, parties.run_opened(submission=flat.body_hash()), WrongBook, "another submission")
        parties.enter(parties.run_opened())
    parties.enter(parties.record())
    assert parties.run.commitments == insolvent.commitments
    refuses(parties, parties.coverage(submission=flat.body_hash()), RunNotOver, "answer it")
    # All that ends it is a proof of the insolvent book, or its settlement.
    parties.enter(parties.answer("breach"))
    refuses(parties, parties.coverage(), RunNotOver, "answer it")
    parties.enter(parties.settlement([("USDC", 900, "free", "liquidation"), ("USDC", 100, "posted", "liquidation")]))
    assert parties.state.private.free == {}


@pytest.mark.parametrize("name", ["maintenance_fhe", "maintenance_proof", "initial_fhe", "initial_proof"])
def test_matrices_that_are_bent(name: str) -> None:
    """A c lowered by two units liquidated an account without positions.

    The machine knows no prices: that a run's matrices are those of its tick, to the bit, is for the agent, the verifier
    and the audit to compute (`tests/service/test_agent_checks.py`, `tests/margin`). Here: the operator names them
    before it evaluates, and its record and the second run of the tick have the same.
    """
    parties = evaluating()
    bent = parties.run.matrices.model_dump() | {name: named("two units less")}
    record = parties.record(matrices=bent)
    refuses(parties, record, WrongRun, "another matrices than the run began with")
    refused_by_the_institution(parties, record, "run recorded", EntryIllegal, "another matrices")
    parties = not_proven()
    second = parties.second_opened(matrices=bent)
    refuses(parties, second, WrongRun, "another matrices than it must have")
    refused_by_the_institution(parties, second, "run opened", EntryIllegal, "another matrices")


@pytest.mark.parametrize("honest", [True, False], ids=["told", "denied"])
def test_another_book_once_the_prices_were_seen(honest: bool) -> None:
    """A source's document shows what the next tick will be; a flat book comes before it does. It is not run there.

    An operator that helps says nothing was receipted: the state after the entry is then another one, and whoever reads
    the log sees the lie (`tests/service/test_monitor_receipts.py`).
    """
    parties = covered()
    insolvent = parties.state.public.book
    assert insolvent is not None
    parties.receipted = honest
    flat = parties.enter(parties.submission(2, "flat"))
    parties.receipted = False
    parties.tick()
    if not honest:
        assert parties.entries[-1][0].body["receipted"] == "1"
        parties.enter(parties.run_opened())
        assert parties.run.submission == flat.body_hash()
        return
    assert parties.entries[-1][0].body["receipted"] == "2"
    refuses(parties, parties.run_opened(submission=flat.body_hash()), WrongBook, "another submission")
    parties.enter(parties.run_opened())
    assert parties.run.submission == insolvent.submission


def test_an_answer_that_was_withheld_and_logged_as_overdue() -> None:
    """The account is frozen, and the same answer frees it; so does a proof at a newer tick, which needs no run.

    That overdue is not declared against an earlier delivery receipt is in `tests/service/witness`.
    """
    parties = recorded()
    answer = parties.answer("covered")
    parties.enter(parties.overdue())
    assert parties.state.public.status == "frozen"
    parties.enter(answer)
    assert parties.state.public.status == "active"
    parties.enter(parties.instruction(2, "withdraw", 900))
    parties = owed()
    parties.tick()
    parties.enter(parties.coverage())
    assert (parties.state.public.status, parties.state.public.run) == ("active", None)


def test_a_run_that_is_backdated() -> None:
    """Entries stand under the ticks of the one before or newer ones, and a run is at the newest."""
    parties = covered()
    parties.tick()
    parties.tick()
    parties.enter(parties.deposit(1))
    run = parties.run_opened(number=2)
    refuses(parties, run, WrongTick, "another price_sequence")
    older = {"tick": tick(2), "tick_sequence": "2", "market": tick(2), "market_sequence": "2"}
    refused_by_the_institution(parties, run, "run opened", EntryIllegal, "the one before at 3", **older)
    refused_by_the_institution(parties, run, "run opened", EntryIllegal, "another price_sequence")


def test_a_flat_book_a_release_and_the_real_book_again() -> None:
    """Nothing leaves before the flat book was covered at a later tick, nor before the real one was, once it is back."""
    parties = covered()
    parties.enter(parties.submission(2, "flat"))
    refuses(parties, parties.instruction(2, "withdraw", 900), NotCovered, "not proven covered since it came")
    parties.enter(parties.submission(3, "a"))
    refuses(parties, parties.instruction(2, "withdraw", 900), NotCovered, "not proven covered since it came")
    parties.tick()
    refuses(parties, parties.instruction(2, "withdraw", 900), RunNotOver, "open or due")
    # Nor is the flat book the one that is run.
    flat = parties.entries[-2][1]
    assert flat.type == "submission"
    refuses(parties, parties.run_opened(submission=flat.body_hash()), WrongBook, "another submission")


def test_a_book_that_comes_between_a_tick_and_its_run_brings_no_older_one_back() -> None:
    """A third book took the waiting place of the second, and the run was on the first: replaced before its tick.

    The operator entered it between the tick and the run, and liquidated a flat account on a book that it had replaced.
    """
    parties = booked()
    insolvent = parties.state.public.book
    assert insolvent is not None
    flat = parties.enter(parties.submission(2, "flat")).body_hash()
    parties.tick()
    parties.enter(parties.submission(3, "other"))
    run = parties.run_opened(submission=insolvent.submission)
    refuses(parties, run, WrongBook, "another submission than it must have")
    refused_by_the_institution(parties, run, "run opened", EntryIllegal, "another submission than it must have")
    parties.enter(parties.run_opened(submission=flat))
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    assert (parties.state.public.book, parties.state.public.waiting) != (None, None)
    parties.tick()
    assert parties.enter(parties.run_opened()).body["submission"] != flat


@pytest.mark.parametrize("stage", [recorded, asked, not_proven, owed, breached])
def test_a_book_that_waits_is_not_replaced_by_one_from_after_a_later_tick(stage: Any) -> None:
    """An operator that holds a third book back until a tick has come could so have that tick's run on the first.

    A book that names a tick before is refused for that; one that was made for the newest has to wait.
    """
    parties = stage()
    flat = parties.enter(parties.submission(2, "flat")).body_hash()
    held_back = parties.submission(3, "other")
    parties.tick()
    refuses(parties, held_back, WrongTick, "its gain is counted at tick 1, the newest is 2")
    refused_by_the_institution(parties, held_back, "submitted", EntryIllegal, "its gain is counted at tick 1")
    other = parties.submission(3, "other")
    refuses(parties, other, RunNotOver, "a book that came at tick 1 waits for the end of a run")
    refused_by_the_institution(parties, other, "submitted", EntryIllegal, "waits for the end of a run")
    if parties.run.stage == "breach":
        parties.enter(settled(parties))
    elif parties.run.stage == "awaiting":
        parties.enter(parties.answer("covered"))
    else:
        parties.enter(parties.coverage())
        parties.tick()
    # Now it can come, and the run of the tick is on the one that was there before.
    parties.enter(parties.submission(3, "other"))
    assert parties.enter(parties.run_opened()).body["submission"] == flat


def test_two_ticks_of_one_number() -> None:
    """An account that saw one is never shown the other: two entries under one number contradict each other."""
    parties = covered()
    document = parties.deposit(1)
    other = {"tick": named("other"), "market": named("other")}
    refused_by_the_institution(parties, document, "deposited", EntryIllegal, "at tick 1, the one before at 1", **other)
    parties.tick()
    run = parties.run_opened(tick=named("other"))
    refuses(parties, run, WrongTick, "another tick than it must have")
    refused_by_the_institution(parties, run, "run opened", EntryIllegal, "another tick than it must have")


def test_a_run_for_no_tick() -> None:
    """Neither at a number that no tick has, nor at a void one, nor between two."""
    parties = covered()
    for _ in range(2):
        number = parties.newest + 1
        run = parties.run_opened(price_sequence=str(number), tick=tick(number), run_id=f"fund.{number}")
        refuses(parties, run, WrongTick, "is no tick to run")
        refused_by_the_institution(parties, run, "run opened", EntryIllegal, "is no tick to run")
        parties.tick(void=True)
        void = parties.run_opened(price_sequence=str(number), tick=tick(number), run_id=f"fund.{number}")
        refuses(parties, void, WrongTick, "is no tick to run")
        refused_by_the_institution(parties, void, "run opened", EntryIllegal, "is no tick to run")


def test_two_books_at_one_price() -> None:
    """A tick has one run, and the run that may follow it is on the same book."""
    parties = covered()
    parties.enter(parties.submission(2, "b"))
    run = parties.run_opened()
    refuses(parties, run, WrongTick, "it had a run, or the book came with its prices or after")
    refused_by_the_institution(
        parties, run, "run opened", EntryIllegal, "it had a run, or the book came with its prices"
    )
    parties = not_proven()
    other = parties.enter(parties.submission(2, "b"))
    second = parties.second_opened(submission=other.body_hash())
    refuses(parties, second, WrongBook, "another submission than it must have")
    refused_by_the_institution(parties, second, "run opened", EntryIllegal, "another submission than it must have")
    # Nor does its collateral change between the two.
    refuses(parties, parties.instruction(2, "post", 100), RunNotOver, "post after it is answered")
    second = parties.second_opened(posted={"USDC": "200"}, instructions="2")
    refuses(parties, second, WrongCollateral, "another posted|another instructions")


def test_a_submission_that_was_receipted_and_denied() -> None:
    """The entry is the receipt. Another history without it is a fork or a gap, and the two entries are the evidence."""
    parties = covered()
    before = parties.chain
    parties.enter(parties.submission(2, "flat"))
    receipt = parties.entries[-1][0]
    told = parties.chain
    # The operator goes on as if it had never come.
    parties.chain = before
    parties.tick()
    run = parties.run_opened()
    _, entry = extended(before, run, parties.at, parties.salts, LOG, parties.operator, TIME)
    with pytest.raises(EntryForked, match="two entries of number") as caught:
        followed(told, entry, run, parties.salts, parties.operator.public_key)
    shown = SignedDocument.parse(caught.value.evidence["entry"])
    for signed in (shown, receipt):
        signed.verify(frozenset({parties.operator.public_key}))
    assert (shown.body["number"], shown.body["previous"]) == (receipt.body["number"], receipt.body["previous"])
    parties.enter(run)
    _, later = extended(parties.chain, parties.deposit(1), parties.at, parties.salts, LOG, parties.operator, TIME)
    with pytest.raises(EntryGap, match="does not follow"):
        followed(told, later, parties.deposit(1), parties.salts, parties.operator.public_key)


def test_a_book_is_given_up_by_both_sides_or_not_at_all() -> None:
    """An operator would get rid of a book, and bring an account to where nothing leaves it; alone it cannot."""
    parties = owed()
    genuine = parties.giving_up()
    alone = parties.operator.sign("giving-up", genuine.body)
    refuses(parties, alone, WrongSigner, "signed by the institution of the account")
    refused_by_the_institution(parties, alone, "book given up", EntryIllegal, "signed by the institution")
    # The institution's question is nothing in itself: only an entry of the operator's has it in the account.
    _, own = extended(parties.chain, genuine, parties.at, parties.salts, LOG, parties.institution, TIME)
    with pytest.raises(EntryForged, match="not the operator's"):
        followed(parties.chain, own, genuine, parties.salts, parties.operator.public_key)


def test_a_question_that_the_operator_keeps_for_a_better_day() -> None:
    """The institution lost its disk, asked, and found a backup; it proves its book, which is owed again later."""
    parties = owed()
    kept = parties.giving_up()
    parties.enter(parties.answer("covered"))
    refuses(parties, kept, WrongBook, "proven covered since")
    refused_by_the_institution(parties, kept, "book given up", EntryIllegal, "proven covered since")
    parties.enter(parties.submission(2, "b"))
    refuses(parties, kept, WrongBook, "other books are in force, or wait")
    refused_by_the_institution(parties, kept, "book given up", EntryIllegal, "other books are in force, or wait")


def test_a_book_that_is_given_up_and_a_flat_one_that_lets_everything_go() -> None:
    """Even where the operator agrees: nothing leaves before the next book was run at a later tick."""
    parties = covered()
    parties.enter(parties.giving_up())
    refuses(parties, parties.instruction(2, "withdraw", 900), NotCovered, "a book was given up")
    parties.enter(parties.submission(2, "flat"))
    refuses(parties, parties.instruction(2, "withdraw", 900), NotCovered, "a book was given up")
    parties.tick()
    refuses(parties, parties.instruction(2, "withdraw", 900), RunNotOver, "open or due")
