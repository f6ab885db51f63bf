"""A dispute holds what would leave, and nothing else; it ends by both sides, by its institution, or in time."""

from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError, MalformedDocument
from atomic_margin.service.protocol.account.disputes import require_not_held
from atomic_margin.service.protocol.account.errors import (
    AccountHeld,
    OutOfSequence,
    TooManyDisputes,
    WrongDispute,
    WrongSigner,
    WrongTick,
)
from atomic_margin.service.protocol.account.state import Disputes
from atomic_margin.service.protocol.disputes import (
    MAX_OVER,
    MAX_WORDS,
    Dispute,
    DisputeResolution,
    DisputeWithdrawal,
)
from atomic_margin.service.protocol.states import AccountState

from .documents import Parties, named, priced_at
from .story import booked, breached, covered, disputed, everything, liquidated, owed, recorded, refuses

LONG = (priced_at(0), priced_at(14))


def standing(parties: Parties) -> Disputes:
    assert parties.state.public.disputes is not None
    return parties.state.public.disputes


def end(parties: Parties, how: str) -> None:
    """End the open dispute."""
    ends = {
        "resolved": parties.resolution,
        "withdrawn": parties.dispute_withdrawal,
        "lapsed": lambda: parties.dispute_lapse(*LONG),
    }
    parties.enter(ends[how]())


ENDS = ("resolved", "withdrawn", "lapsed")


def test_a_state_without_a_dispute_is_what_it_was() -> None:
    said = covered().state.public.canonical()
    assert isinstance(said, dict)
    assert "disputes" not in said


@pytest.mark.parametrize("how", ENDS)
def test_nothing_leaves_a_held_account_and_all_of_it_does_afterwards(how: str) -> None:
    parties = covered()
    withdrawal, before = parties.instruction(2, "withdraw", 5), parties.state
    parties.enter(parties.dispute())
    opened = parties.disputed
    assert (opened.number, opened.kind, opened.price_sequence) == (1, "valuation", parties.market)
    refuses(parties, withdrawal, AccountHeld, "withdraw after it is resolved, withdrawn or lapsed")
    refuses(parties, parties.settling(2, "b", 5), AccountHeld, "settle losses after it is")
    with pytest.raises(AccountHeld, match="sell after it is"):
        require_not_held(parties.state.public, "sell")
    # Nothing is lost: everything stands where it did.
    assert parties.state.private == before.private
    assert parties.state.public.model_copy(update={"disputes": None}) == before.public
    end(parties, how)
    require_not_held(parties.state.public, "sell")
    parties.enter(withdrawal)


def test_what_comes_in_is_not_held() -> None:
    parties = disputed()
    parties.enter(parties.deposit(5))
    parties.enter(parties.instruction(2, "post", 5))
    parties.enter(parties.submission(2, "b"))


def test_a_dispute_is_no_way_out_of_a_call_nor_of_a_liquidation() -> None:
    for liquidates in (False, True):
        parties = recorded()
        parties.enter(parties.dispute(entry=2))
        parties.enter(parties.answer("breach"))
        moves = everything(parties) if liquidates else [("USDC", 7, "free", "posted")]
        parties.enter(parties.settlement(moves))
        wanted = AccountState.IN_DEFAULT if liquidates else AccountState.ACTIVE
        assert (parties.state.public.status, parties.disputed.number) == (wanted, 2)


def test_a_dispute_between_breach_and_settlement_stops_nothing() -> None:
    parties = breached()
    parties.enter(parties.dispute())
    parties.enter(parties.settlement([("USDC", 7, "free", "posted")]))
    assert parties.state.public.run is None


def test_a_dispute_is_no_way_out_of_a_run_nor_of_its_deadline() -> None:
    parties = booked()
    parties.enter(parties.dispute())
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.overdue())
    assert parties.state.public.status is AccountState.FROZEN
    assert owed().state.public.owed == parties.state.public.owed


def test_one_is_open_at_a_time_and_three_begin_on_a_day() -> None:
    parties = disputed()
    refuses(parties, parties.dispute(2, entry=2), TooManyDisputes, "is open; end it first")
    for number in (2, 3):
        end(parties, "withdrawn")
        parties.enter(parties.dispute(number, entry=number))
    end(parties, "withdrawn")
    refuses(parties, parties.dispute(4, entry=4), TooManyDisputes, "3 disputes began at prices of that day")
    parties.enter(parties.dispute(4, entry=4, day=1))
    end(parties, "withdrawn")
    # Another day's prices do not bring the old count back.
    refuses(parties, parties.dispute(5, entry=5), WrongTick, "of a day before that of the last dispute")
    assert (standing(parties).sequence, standing(parties).on_day) == (4, 1)


@pytest.mark.parametrize("how", ENDS)
def test_what_was_resolved_or_lapsed_is_disputed_no_more_and_what_was_withdrawn_may_be(how: str) -> None:
    parties = disputed()
    end(parties, how)
    again = parties.dispute(2)
    if how == "withdrawn":
        parties.enter(again)
    else:
        refuses(parties, again, WrongDispute, "a dispute about entry 1 ended before")
        parties.enter(parties.dispute(2, entry=2))


def test_an_account_in_default_has_one_dispute_so_that_its_collateral_is_sold_in_the_end() -> None:
    parties = liquidated()
    parties.enter(parties.dispute(entry=2))
    end(parties, "withdrawn")
    refuses(parties, parties.dispute(2, entry=3, day=1), TooManyDisputes, "in default has one dispute, and it was had")


def test_one_that_was_open_at_a_liquidation_is_not_the_one_of_the_default() -> None:
    parties = breached()
    parties.enter(parties.dispute())
    parties.enter(parties.settlement(everything(parties)))
    end(parties, "lapsed")
    parties.enter(parties.dispute(2, entry=3, day=1))
    end(parties, "resolved")
    refuses(parties, parties.dispute(3, entry=4, day=2), TooManyDisputes, "in default has one dispute")


def test_an_old_resolution_or_withdrawal_ends_no_new_dispute() -> None:
    parties = disputed()
    old = parties.resolution(until="1000"), parties.dispute_withdrawal(), parties.dispute_lapse(*LONG)
    end(parties, "withdrawn")
    for document in old:
        refuses(parties, document, WrongDispute, "another dispute than the open one, or none is open")
    # About the same entry, in the same words.
    parties.enter(parties.dispute(2))
    for document in old:
        refuses(parties, document, WrongDispute, "another dispute than the open one, or none is open")


def test_an_old_dispute_opens_nothing_again() -> None:
    parties = covered()
    document = parties.enter(parties.dispute())
    end(parties, "withdrawn")
    refuses(parties, document, OutOfSequence, "the next dispute sequence number is 2, got 1")


def test_an_offer_binds_until_its_tick() -> None:
    parties = disputed()
    offer = parties.resolution(until=str(parties.newest + 1))
    parties.tick()
    late = parties.resolution(until=str(parties.newest - 1))
    refuses(parties, late, WrongTick, "bound to it until tick")
    refuses(parties, parties.resolution(until=str(parties.newest + 100_001)), WrongTick, "bound to it until tick")
    parties.enter(offer)


@pytest.mark.parametrize(("amount", "agreed"), [("1200", "1200"), ("1200.50", "1200.5"), (None, "9999")])
def test_an_amount_that_is_agreed_on_is_at_most_what_is_disputed(amount: str | None, agreed: str) -> None:
    parties = covered()
    said: dict[str, Any] = {} if amount is None else {"amount": amount}
    parties.enter(parties.dispute(kind="settlement", **said))
    assert parties.disputed.amount == amount
    if amount is not None:
        refuses(parties, parties.resolution("agreed", amount="1200.51"), WrongDispute, "USD are in dispute")
    parties.enter(parties.resolution("agreed", amount=agreed))


def test_it_lapses_by_the_time_of_prices_and_not_a_second_before() -> None:
    parties = disputed()
    parties.tick()
    short = parties.dispute_lapse(priced_at(0), priced_at(13, "23:59:59"))
    refuses(parties, parties.dispute_lapse(priced_at(0, "12:00:01"), priced_at(14)), WrongDispute, "it lapses after")
    refuses(parties, short, WrongDispute, "it lapses after 1209600")
    begins = {"price_sequence": str(parties.market), "tick": parties.tick_hash(parties.market), "priced_at": LONG[0]}
    refuses(parties, parties.dispute_lapse(*LONG, begins=begins), WrongTick, "the dispute was entered at tick")
    other = begins | {"tick": named("other"), "priced_at": LONG[1]}
    refuses(parties, parties.dispute_lapse(*LONG, ends=other), WrongTick, "the newest tick with a market is")
    signed = parties.dispute_lapse(*LONG)
    parties.tick()
    refuses(parties, signed, WrongTick, "the newest tick with a market is")
    parties.enter(parties.dispute_lapse(*LONG))
    assert (standing(parties).open, standing(parties).over) == (None, (1,))


def test_its_time_counts_from_its_entry_and_not_from_its_signature() -> None:
    """An operator that keeps a dispute back does not bring its end nearer."""
    parties = covered()
    kept_back = parties.dispute()
    parties.tick()
    parties.enter(kept_back)
    assert parties.disputed.price_sequence == parties.market


def test_a_dispute_names_prices_that_there_were() -> None:
    parties = covered()
    ahead = parties.dispute(price_sequence=str(parties.market + 1))
    refuses(parties, ahead, WrongTick, "the newest with a market is")
    refuses(parties, parties.dispute(tick=named("other")), WrongTick, "has another hash")
    refuses(parties, parties.dispute(price_sequence="0"), WrongTick, "it is at tick 0")
    early = Parties()
    early.enter(early.admission())
    refuses(early, early.dispute(), WrongTick, "there were no prices yet")


def test_the_operator_neither_disputes_nor_resolves_nor_withdraws_and_the_institution_lets_nothing_lapse() -> None:
    parties = disputed()
    documents = (
        (parties.resolution(), "the institution"),
        (parties.dispute_withdrawal(), "the institution"),
        (parties.dispute_lapse(*LONG), "the operator"),
    )
    for document, party in documents:
        other = parties.operator if party == "the institution" else parties.institution
        forged = other.sign(document.type, document.body)
        refuses(parties, forged, WrongSigner, f"is signed by {party} of the account")
    end(parties, "withdrawn")
    document = parties.dispute(2, entry=2)
    refuses(parties, parties.operator.sign(document.type, document.body), WrongSigner, "is signed by the institution")


def test_a_dispute_of_another_account_is_none_of_this_one() -> None:
    parties = covered()
    other = parties.dispute().body | {"institution": "other"}
    refuses(parties, parties.institution.sign("dispute", other), WrongSigner, "another institution than the account's")


def test_a_state_names_the_newest_that_ended_and_none_before_them_is_disputed_again() -> None:
    parties = disputed()
    for number in range(2, MAX_OVER + 3):
        end(parties, "resolved")
        parties.enter(parties.dispute(number, entry=number, number=str(number), day=number // 3))
    end(parties, "resolved")
    found = standing(parties)
    assert (len(found.over), found.floor, found.over[0]) == (MAX_OVER, 2, 3)
    for entry in (1, 2, 3, MAX_OVER + 2):
        again = parties.dispute(MAX_OVER + 3, entry=1, number=str(entry), day=30)
        refuses(parties, again, WrongDispute, f"a dispute about entry {entry} ended before, or about many after it")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "amount"}, "amount"),
        ({"kind": "price"}, "kind"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"reason": ""}, "reason"),
        ({"reason": "a" * (MAX_WORDS + 1)}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"priced_at": "yesterday"}, "priced_at"),
        ({"subject": "1a"}, "subject"),
    ],
)
def test_a_dispute_that_says_too_little_or_too_much_is_none(changes: dict[str, Any], field: str) -> None:
    body = covered().dispute().body | changes
    with pytest.raises(DocumentError, match=field):
        Dispute.parse(body)
    assert Dispute.parse(covered().dispute(reason="a" * MAX_WORDS).body).reason == "a" * MAX_WORDS


@pytest.mark.parametrize(
    ("outcome", "amount"), [("agreed", None), ("upheld", "5"), ("rejected", "5"), ("settled", None)]
)
def test_a_resolution_has_an_amount_if_that_is_what_was_agreed_on(outcome: str, amount: str | None) -> None:
    body = disputed().resolution().body | {"outcome": outcome} | ({} if amount is None else {"amount": amount})
    with pytest.raises(MalformedDocument, match=r"amount|outcome"):
        DisputeResolution.parse(body)
    assert DisputeWithdrawal.parse(disputed().dispute_withdrawal().body).dispute
