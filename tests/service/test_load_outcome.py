"""What a load is looked through for at its end: what is lost, doubled, or in a state that nothing explains is found."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from atomic_margin.bench.service.outcome import Outcome, outcome, unfinished
from atomic_margin.service.operator.store.tables import AnswerRow, EntryRow, LedgerPosting, Run, SettlementRow
from atomic_margin.service.protocol.states import RunState

from .documents import FUND
from .world import World

Open = Callable[[str], World]
SETTLED = f"{FUND}.2"


def looked(world: World, scheduled: tuple[str, ...] = (), receipts: dict[str, str] | None = None) -> Outcome:
    return outcome(world.operator.store, world.key, scheduled, receipts or {})


def test_an_honest_history_holds(world_at: Open) -> None:
    world = world_at("fall-done")
    entry = next(item.entry for item in world.entries() if item.document.type == "answer")
    found = looked(world, (f"{FUND}.1", SETTLED), {SETTLED: entry.body_hash()})
    assert (found.lost, found.doubled, found.unexplained) == ([], [], [])
    assert found.states == {"covered": 1, "settled": 1}
    assert not any(found.ledger.values())
    assert found.replayed.startswith("agrees: 1 accounts")
    assert found.holds
    assert unfinished(world.operator.store) == 0


def test_a_run_or_receipt_that_is_not_there_is_lost(world_at: Open) -> None:
    found = looked(world_at("fall-done"), ("nobody.1",), {SETTLED: "00" * 32})
    assert found.lost == [
        "run nobody.1 was scheduled and is not there",
        f"the receipt of run {SETTLED} is no entry",
    ]
    assert not found.holds


def _without_entry(session: Session) -> None:
    session.execute(delete(EntryRow).where(EntryRow.kind == "breach proven"))


def _without_settlement(session: Session) -> None:
    session.execute(delete(SettlementRow).where(SettlementRow.run_id == SETTLED))


def _covered(session: Session) -> None:
    session.execute(update(Run).where(Run.run_id == SETTLED).values(state=RunState.COVERED))


def _evaluating(session: Session) -> None:
    session.execute(update(Run).where(Run.run_id == SETTLED).values(state=RunState.EVALUATING))


def _doubled(session: Session) -> None:
    other = session.get_one(AnswerRow, f"{FUND}.1")
    session.get_one(AnswerRow, SETTLED).sha256 = other.sha256
    session.get_one(EntryRow, (FUND, 1)).subject = other.sha256


def _posting(session: Session) -> None:
    session.execute(update(LedgerPosting).where(LedgerPosting.id == 1).values(amount=1))


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        (_without_entry, "lost", f"the answer of run {SETTLED} has no entry"),
        (_without_settlement, "unexplained", f"run {SETTLED} is booked, not settled"),
        (_covered, "unexplained", f"run {SETTLED} is covered and has record, answer, settlement"),
        (_evaluating, "unfinished", f"run {SETTLED} is evaluating"),
        (_doubled, "doubled", f"the answer of run {SETTLED} has 2 entries"),
        (_posting, "ledger", None),
    ],
)
def test_what_is_wrong_is_named(
    world_at: Open, change: Callable[[Session], None], where: str, said: str | None
) -> None:
    world = world_at("fall-done")
    with world.operator.store.unit_of_work() as session:
        change(session)
    found = looked(world)
    assert not found.holds
    if said is None:
        assert any(found.ledger.values())
    else:
        assert said in getattr(found, where)
