"""What the agent refuses of an account's events, though the operator signed and entered them."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.protocol.account.entries import extended
from atomic_margin.service.protocol.account.errors import (
    EntryForged,
    EntryIllegal,
    EntryRefused,
)
from atomic_margin.service.protocol.settlements import Rightful

from .account.documents import LOG, TIME
from .told import Pair, Told
from .told import told as told

Cheat = Callable[[Told], Pair]


def replaced_book(told: Told) -> Pair:
    """A run on a book that another one replaced before its tick: what emptied a flat account."""
    told.booked()
    old = told.state.public.book
    assert old is not None
    told.enter(told.run_opened())
    told.enter(told.record())
    told.enter(told.answer("covered"))
    told.enter(told.submission(2, "second"))
    told.tick()
    return told.forced(told.run_opened(submission=old.submission))


def older_tick(told: Told) -> Pair:
    told.booked()
    told.tick()
    return told.forced(told.run_opened(number=1))


def left_out(told: Told) -> Pair:
    """A run that does not count what was posted, at the number of the instruction that posted it."""
    told.booked()
    return told.forced(told.run_opened(posted={}))


def older_instruction(told: Told) -> Pair:
    told.booked()
    return told.forced(told.run_opened(posted={}, instructions="0"))


def second_at_a_tick(told: Told) -> Pair:
    told.recorded()
    told.enter(told.answer("covered"))
    return told.forced(told.run_opened())


def other_record(told: Told) -> Pair:
    told.booked()
    told.enter(told.run_opened())
    return told.forced(told.record(posted={"USDC": "1"}))


def withdrawal_by_the_operator(told: Told) -> Pair:
    told.booked()
    body = told.instruction(2, "withdraw", 5).body
    return told.forced(told.operator.sign("collateral-instruction", body))


def book_under_a_run(told: Told) -> Pair:
    """The entry says that a book which has to wait is in force."""
    told.recorded()
    document = told.submission(2, "second")
    entry, _ = told.forced(document)
    return entry, document


def early_end(told: Told) -> Pair:
    told.recorded(deadline="2026-11-27T12:00:01Z")
    document = told.overdue()
    _, entry = extended(told.chain, document, told.at, told.salts, LOG, told.operator, TIME)
    return entry, document


def earlier_entry(told: Told) -> Pair:
    """Made as if the newest tick had not come yet."""
    told.booked()
    told.enter(told.deposit(1))
    told.newest = told.market = 0
    return told.forced(told.deposit(2))


@pytest.mark.parametrize(
    ("cheat", "kind", "words"),
    [
        (replaced_book, EntryIllegal, "another submission than it must have"),
        (older_tick, EntryIllegal, "another price_sequence than it must have"),
        (left_out, EntryIllegal, "another posted than it must have"),
        (older_instruction, EntryIllegal, "another instructions than it must have"),
        (second_at_a_tick, EntryIllegal, "is no tick to run"),
        (other_record, EntryIllegal, "another posted than the run began with"),
        (withdrawal_by_the_operator, EntryIllegal, "signed by the institution of the account"),
        (book_under_a_run, EntryForged, "another hash of public than follows"),
        (early_end, EntryIllegal, "declared overdue before 2026-11-27T12:00:01Z, its deadline"),
        (earlier_entry, EntryIllegal, "is at tick 0, the one before at 1"),
    ],
)
def test_an_event_that_is_not_legal_is_refused_and_kept(
    told: Told, cheat: Cheat, kind: type[EntryRefused], words: str
) -> None:
    entry, document = cheat(told)
    told.refuses(kind, words, (entry, document))
    (evidence,) = told.evidence
    assert evidence["entry"] == entry.to_json()
    assert evidence["last"] == told.entries[-1][0].to_json()
    assert evidence.get("document", document.to_json()) == document.to_json()


def settled(told: Told, moves: list[tuple[str, int, str, str]], **changes: Any) -> Pair:
    document = told.settlement(moves, **changes)
    _, entry = extended(told.chain, document, told.at, told.salts, LOG, told.operator, TIME)
    return entry, document


def moves_of(wanted: Rightful) -> list[tuple[str, int, str, str]]:
    return [(move.asset, move.quantity, move.source, move.destination) for move in wanted.transfers]


@pytest.mark.parametrize(("usd", "kind"), [("10", "margin_call"), ("5000000", "liquidation")])
def test_the_settlement_that_follows_from_a_breach_is_taken(told: Told, usd: str, kind: str) -> None:
    wanted = told.breached(usd)
    assert wanted.kind == kind
    told.enter(told.settlement(moves_of(wanted), top_up_usd=usd))
    told.history.sync()
    assert told.history.state == told.state
    assert told.evidence == []


@pytest.mark.parametrize("cheat", ["liquidated", "more", "less", "nothing", "another amount"])
def test_a_settlement_that_does_not_follow_from_the_breach_is_refused(told: Told, cheat: str) -> None:
    """An account that could meet the call is not liquidated, and no more is moved than the call is of."""
    wanted = told.breached()
    ((asset, quantity, source, target),) = moves_of(wanted)
    changes = {"top_up_usd": "11"} if cheat == "another amount" else {}
    moves = {
        "liquidated": [
            ("USDC", told.state.private.free["USDC"], "free", "liquidation"),
            ("USDC", told.state.public.posted["USDC"], "posted", "liquidation"),
        ],
        "more": [(asset, quantity + 1, source, target)],
        "less": [(asset, quantity - 1, source, target)],
        "nothing": [],
        "another amount": [(asset, quantity, source, target)],
    }
    words = "it settles 11 USD" if changes else "a margin_call has to settle this breach, which moves"
    told.refuses(EntryIllegal, words, settled(told, moves[cheat], **changes))
    assert told.evidence[0]["document"]["type"] == "settlement"


def test_a_breach_that_free_collateral_does_not_cover_is_not_called(told: Told) -> None:
    told.breached("5000000")
    told.refuses(
        EntryIllegal,
        "a liquidation has to settle",
        settled(told, [("USDC", 1, "free", "posted")], top_up_usd="5000000"),
    )
