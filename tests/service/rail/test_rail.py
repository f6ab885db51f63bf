"""A rail on a chain: pending, submitted, final; then the ledger, which moves what the chain moved."""

import hashlib
from types import ModuleType
from typing import Any

import pytest

from atomic_margin.contracts.run_keys import run_key
from atomic_margin.service.errors import Conflict, Refused
from atomic_margin.service.operator.accounts import collateral, halts
from atomic_margin.service.operator.rail import LedgerRail
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.operator.settlement.chain import rail, transactions
from atomic_margin.service.operator.settlement.chain.errors import NotCarriable
from atomic_margin.service.operator.store.rail_tables import RailTransfer
from atomic_margin.service.operator.store.tables import SubmissionRow
from atomic_margin.service.protocol.states import AccountState, RailState, RunState

from ...contracts.vault.world import HOLDER, OPERATOR, RUN_SECONDS, digest
from ..documents import FUND
from .settling import ASSET, PLENTY, Settling

pytestmark = pytest.mark.long

RUN = f"{FUND}.1"


def breached(joined: Settling, free: int = PLENTY // 10) -> str:
    """Bring free collateral, and have the first tick breached: nothing is posted."""
    if free:
        joined.deposit(free)
    run_id = joined.world.play(1)
    joined.world.answer(run_id)
    return run_id


def differing(joined: Settling) -> list[str]:
    """What the mirror says, but for the book, in whose place the vault has a stand-in."""
    return [one for one in joined.rail.mirror.problems() if "has not registered its book" not in one]


def test_a_call_is_settled_in_the_vault_first_and_in_the_ledger_once_it_is_final(joined: Settling) -> None:
    run_id = breached(joined)
    assert joined.state(run_id) == RailState.PENDING
    assert joined.world.run(run_id).state is RunState.BREACH_VERIFIED
    joined.settle()
    top_up, quantity = joined.preparing.due(run_id)
    assert joined.state(run_id) == RailState.FINAL
    assert joined.world.run(run_id).state is RunState.SETTLED
    assert joined.vault.balances() == (PLENTY // 10 - quantity, quantity)
    assert joined.world.held(f"{FUND}/posted") == {ASSET: quantity}
    assert joined.world.held(f"{FUND}/free") == {ASSET: PLENTY // 10 - quantity}
    outcome = joined.transfer(run_id).outcome
    assert outcome is not None
    assert (outcome["kind"], outcome["amount"], outcome["top_up"]) == ("margin_call", str(quantity), str(top_up))
    assert [one.purpose for one in joined.sent(run_id)] == ["open", "settle"]
    assert not any(joined.world.totals().values())
    joined.rail.mirror.compare()
    assert differing(joined) == []


def test_a_call_that_free_collateral_does_not_reach_liquidates_on_both_sides(joined: Settling) -> None:
    run_id = breached(joined, free=1000)
    joined.settle()
    assert joined.vault.balances() == (0, 0)
    assert joined.vault.state() == "Terminated"
    assert joined.world.state() == AccountState.IN_DEFAULT
    assert joined.world.held(f"{FUND}/liquidation") == {ASSET: 1000}
    assert joined.transfer(run_id).outcome == joined.transfer(run_id).outcome | {
        "kind": "liquidation",
        "amount": "1000",
    }


def test_the_ledger_does_not_move_before_the_block_is_final(joined: Settling) -> None:
    joined.rail.settings.file.__dict__["finality"] = 3
    run_id = breached(joined)
    joined.settle(3)
    assert joined.vault.run_state(bytes.fromhex(joined.transfer(run_id).run_hash)) == "Settled"
    assert joined.state(run_id) == RailState.SUBMITTED
    assert joined.world.run(run_id).state is RunState.BREACH_VERIFIED
    assert joined.world.held(f"{FUND}/posted") == {}
    joined.vault.chain.machine.mine_blocks(2)
    joined.settle(1)
    assert joined.world.run(run_id).state is RunState.SETTLED


def test_the_hook_settles_nothing_that_is_on_its_way(joined: Settling) -> None:
    run_id = breached(joined)
    assert answers.settle_unfinished(joined.world.operator) == []
    with joined.world.operator.store.reading() as session:
        assert joined.rail.under_way(session) == {run_id}
        assert joined.rail.finals(session) == frozenset()


def test_a_settlement_is_entered_once_however_often_one_looks(joined: Settling) -> None:
    run_id = breached(joined)
    joined.settle(12)
    settled = [one for one in joined.world.entries() if one.entry.body["kind"] == "margin called"]
    assert len(settled) == 1
    assert list(joined.world.settlements()) == [run_id]
    assert len(joined.sent(run_id)) == 2


def test_another_process_goes_on_where_one_ended(joined: Settling) -> None:
    run_id = breached(joined)
    for _ in range(6):
        joined = joined.restarted()
        joined.look()
    assert joined.world.run(run_id).state is RunState.SETTLED
    assert len(joined.sent(run_id)) == 2
    joined.world.close()


def test_what_the_vault_does_not_carry_waits_and_says_why(joined: Settling) -> None:
    run_id = breached(joined)
    joined.preparing.problem = NotCarriable("BTC is posted too")
    joined.look()
    joined.look()
    transfer = joined.transfer(run_id)
    assert (transfer.problem, transfer.failures, transfer.stage) == ("BTC is posted too", 1, "pending")
    with joined.world.operator.store.reading() as session:
        assert (run_id, "BTC is posted too") in [tuple(one) for one in joined.rail.troubles(session)]
    joined.preparing.problem = None
    joined.again_at_once()
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED
    assert joined.transfer(run_id).problem is None


def test_a_vault_that_refuses_is_asked_again_and_its_error_is_said(joined: Settling) -> None:
    run_id = breached(joined)
    joined.preparing.changed = {"expiry": 1}
    joined.settle(3)
    problem = joined.transfer(run_id).problem
    assert problem is not None
    assert problem.startswith("the vault refuses: Expired(1, ")
    assert [one.purpose for one in joined.sent(run_id)] == ["open"]
    joined.preparing.changed = {}
    joined.again_at_once()
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED


def test_an_institution_without_an_account_in_the_vault_waits(joined: Settling) -> None:
    joined.rail.settings.file.__dict__["others"] = "wait"
    run_id = breached(joined)
    accounts = joined.rail.settings.file.accounts
    joined.rail.settings.file.__dict__["accounts"] = {}
    joined.look()
    assert "names no account of" in str(joined.transfer(run_id).problem)
    joined.rail.settings.file.__dict__["accounts"] = accounts
    joined.again_at_once()
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED


def test_what_differs_is_said_and_not_booked(joined: Settling) -> None:
    run_id = breached(joined, free=1000)
    # Nobody brought this to the vault: the ledger believes in a call, the chain liquidates.
    joined.world.deposit(FUND, ASSET, PLENTY // 10, "nowhere")
    joined.settle()
    assert joined.state(run_id) == RailState.FINAL
    assert joined.world.run(run_id).state is RunState.BREACH_VERIFIED
    assert "has a liquidation of 1000 USDC" in str(joined.transfer(run_id).problem)
    joined.rail.mirror.compare()
    assert joined.world.settlements() == {}


def test_the_operator_who_ends_a_breached_run_as_covered_is_named(joined: Settling) -> None:
    run_id = breached(joined)
    joined.look()
    key = bytes.fromhex(joined.transfer(run_id).run_hash)
    joined.vault.send(joined.vault.vault.functions.endCovered(key), OPERATOR)
    joined.look()
    assert "is over on the chain as covered, and its breach is proven" in str(joined.transfer(run_id).problem)
    assert joined.world.held(f"{FUND}/posted") == {}


def test_deposits_are_booked_once_and_strangers_are_named(joined: Settling) -> None:
    joined.deposit(500)
    joined.rail.mirror.compare()
    assert joined.world.held(f"{FUND}/free") == {ASSET: 500}
    joined.vault.deposit(7, HOLDER, OPERATOR)
    joined.rail.mirror.compare()
    (problem,) = differing(joined)
    assert problem.startswith(f"7 arrived for {OPERATOR.address}, which is nobody's here")
    again = joined.restarted()
    again.rail.mirror.compare()
    assert again.world.held(f"{FUND}/free") == {ASSET: 500}
    again.world.close()


def test_what_is_posted_is_posted_in_the_vault_first(joined: Settling) -> None:
    joined.deposit(500)
    with pytest.raises(Refused, match="post it there first") as refused:
        joined.world.instruct(FUND, "post", ASSET, 200)
    assert refused.value.field == "quantity"
    assert joined.world.held(f"{FUND}/posted") == {}
    joined.vault.send(joined.vault.vault.functions.post(200), HOLDER)
    joined.rail.mirror.compare()
    (problem,) = differing(joined)
    assert problem.startswith(f"{FUND}: the vault has 300 free and 200 posted as of block")
    joined.world.instruct(FUND, "post", ASSET, 200)
    joined.rail.mirror.compare()
    assert differing(joined) == []
    with pytest.raises(Refused, match="post it there first"):
        joined.world.instruct(FUND, "post", ASSET, 1)


def test_other_collateral_is_not_posted_by_an_account_of_the_vault(joined: Settling) -> None:
    joined.world.deposit(FUND, "TBILL-2027-02", 1000, "elsewhere")
    with pytest.raises(Refused, match="a vault of USDC"):
        joined.world.instruct(FUND, "post", "TBILL-2027-02", 1000)


def test_what_the_vault_has_posted_does_not_come_back_in_the_ledger_alone(joined: Settling) -> None:
    run_id = breached(joined)
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED
    posted = joined.world.held(f"{FUND}/posted")[ASSET]
    with pytest.raises(Refused, match="released there first"):
        joined.rail.require_backed(FUND, ASSET, posted - 1, adding=False)
    joined.rail.require_backed(FUND, ASSET, posted, adding=False)


def test_dust_that_is_posted_before_the_run_is_opened_settles_nothing_less(joined: Settling) -> None:
    run_id = breached(joined)
    joined.vault.send(joined.vault.vault.functions.post(1), HOLDER)
    joined.settle()
    assert joined.state(run_id) == RailState.FINAL
    _, quantity = joined.preparing.due(run_id)
    assert joined.vault.balances() == (PLENTY // 10 - quantity - 1, quantity + 1)


def test_institutions_without_an_account_settle_in_the_ledger_where_the_file_says_so(joined: Settling) -> None:
    joined.deposit(PLENTY // 10)
    joined.rail.settings.file.__dict__["accounts"] = {}
    run_id = joined.world.play(1)
    joined.world.answer(run_id)
    assert joined.world.run(run_id).state is RunState.SETTLED
    assert joined.sent(run_id) == []


def test_nothing_is_sent_while_settlements_are_halted(joined: Settling) -> None:
    run_id = breached(joined)
    halts.halt(joined.world.operator, "drill", ("settlements",))
    joined.look()
    assert joined.sent(run_id) == []
    assert "halted" in str(joined.transfer(run_id).problem)
    halts.resume(joined.world.operator, "drill over")
    joined.again_at_once()
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED


def test_a_halt_comes_too_late_for_what_is_final(joined: Settling) -> None:
    run_id = breached(joined)
    for _ in range(2):
        joined.rail._next_look = 0.0
        joined.rail.look()
    joined.rail._next_look = 0.0
    assert joined.rail.look()
    halts.halt(joined.world.operator, "drill", ("settlements",))
    answers.settle_unfinished(joined.world.operator)
    assert joined.state(run_id) == RailState.FINAL


def test_a_run_that_lapses_on_the_chain_is_opened_anew_and_settled(joined: Settling) -> None:
    run_id = breached(joined)
    joined.preparing.changed = {"expiry": 1}
    joined.settle(2)
    first = bytes.fromhex(joined.transfer(run_id).run_hash)
    joined.vault.chain.travel(RUN_SECONDS + 1)
    joined.vault.send(joined.vault.vault.functions.lapse(first))
    joined.preparing.changed = {}
    for _ in range(6):
        joined.again_at_once()
        joined.look()
    transfer = joined.transfer(run_id)
    assert (transfer.round, transfer.stage) == (1, "final")
    assert joined.vault.run_state(first) == "Lapsed"
    assert joined.vault.run_state(run_key(bytes.fromhex(transfer.run_hash), 1)) == "Settled"
    assert joined.world.run(run_id).state is RunState.SETTLED


def test_a_book_that_is_replaced_in_the_vault_before_its_run_is_opened_is_settled(joined: Settling) -> None:
    run_id = breached(joined)
    joined.vault.register(HOLDER, digest("another book"))
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED


class Died(BaseException):
    """The process ended here."""


@pytest.mark.parametrize(
    ("module", "point", "times"),
    [
        (transactions, "transaction-stored", 1),
        (transactions, "transaction-stored", 2),
        (transactions, "transaction-sent", 1),
        (transactions, "transaction-sent", 2),
        (rail, "settlement-final", 1),
    ],
    ids=["open stored", "settle stored", "open sent", "settle sent", "final"],
)
def test_a_process_that_dies_anywhere_is_followed_by_one_that_settles_once(
    joined: Settling, monkeypatch: pytest.MonkeyPatch, module: ModuleType, point: str, times: int
) -> None:
    run_id, left = breached(joined), [times]

    def die(name: str) -> None:
        if name == point:
            left[0] -= 1
            if left[0] == 0:
                raise Died

    monkeypatch.setattr(module, "fault_point", die)
    with pytest.raises(Died):
        joined.settle()
    monkeypatch.undo()
    again = joined.restarted()
    again.settle()
    assert again.world.run(run_id).state is RunState.SETTLED
    assert [one.purpose for one in again.sent(run_id)] == ["open", "settle"]
    _, quantity = again.preparing.due(run_id)
    assert again.vault.balances() == (PLENTY // 10 - quantity, quantity)
    assert list(again.world.settlements()) == [run_id]
    assert differing(again) == []
    again.world.close()


def test_a_book_in_force_that_the_vault_does_not_have_is_named(joined: Settling) -> None:
    joined.rail.mirror.compare()
    # The vault has a stand-in for a book here: this institution's own is not registered.
    assert [one for one in joined.rail.mirror.problems() if "has not registered its book in force" in one] != []
    with joined.world.operator.store.reading() as session:
        document = session.query(SubmissionRow).one().document
    points = b"".join(map(bytes.fromhex, document["body"]["commitments"]))
    joined.vault.register(HOLDER, hashlib.sha256(points).digest())
    joined.rail.mirror.compare()
    assert differing(joined) == []


def test_an_operator_that_is_started_without_its_rail_books_nothing_that_was_handed_over(joined: Settling) -> None:
    run_id = breached(joined)
    joined.look()
    joined.world.operator.rail = ledger = LedgerRail()
    assert answers.settle_unfinished(joined.world.operator) == []
    assert joined.world.held(f"{FUND}/posted") == {}
    with joined.world.operator.store.reading() as session:
        (trouble,) = ledger.troubles(session)
    assert trouble.run_id == run_id
    assert "--rail" in trouble.what
    joined.world.operator.rail = joined.rail
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED


def test_an_account_that_the_vault_cannot_carry_is_taken_out_of_the_file(joined: Settling) -> None:
    run_id = breached(joined)
    joined.preparing.problem = NotCarriable("BTC is posted too")
    joined.look()
    joined.rail.settings.file.__dict__["accounts"] = {}
    joined.look()
    assert joined.world.run(run_id).state is RunState.SETTLED
    with joined.world.operator.store.reading() as session:
        assert session.query(RailTransfer).count() == 0


def test_what_was_sent_stays_on_the_chain(joined: Settling) -> None:
    run_id = breached(joined)
    joined.look()
    joined.rail.settings.file.__dict__["accounts"] = {}
    joined.look()
    assert joined.world.run(run_id).state is RunState.BREACH_VERIFIED
    assert joined.state(run_id) == RailState.SUBMITTED


def test_one_that_fails_in_an_unknown_way_keeps_no_other_from_going_on(
    joined: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = breached(joined)

    def broken(_: str) -> tuple[bytes, int]:
        raise LookupError("nobody thought of this")

    monkeypatch.setattr(joined.preparing, "counted", broken)
    joined.look()
    assert joined.transfer(run_id).problem == "LookupError: nobody thought of this"
    monkeypatch.undo()
    joined.again_at_once()
    joined.settle()
    assert joined.world.run(run_id).state is RunState.SETTLED


def test_two_that_are_posted_at_once_are_not_backed_by_the_same(
    joined: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.deposit(500)
    joined.vault.send(joined.vault.vault.functions.post(200), HOLDER)
    require_backed = joined.rail.require_backed

    def meanwhile(*arguments: Any, **named: Any) -> None:
        require_backed(*arguments, **named)
        monkeypatch.undo()
        joined.world.instruct(FUND, "post", ASSET, 200)

    late = joined.world.instruction(FUND, "post", ASSET, 200, sequence=joined.world.account().public.instructions + 2)
    monkeypatch.setattr(joined.rail, "require_backed", meanwhile)
    with pytest.raises(Conflict, match="meanwhile"):
        collateral.instruct(joined.world.operator, FUND, late.to_json())
    assert joined.world.held(f"{FUND}/posted") == {ASSET: 200}
