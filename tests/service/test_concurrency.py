"""500 attempts at once, on one run and on several: each thing happens once, and nothing of it by half."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.accounts import collateral
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import FUND
from .world import World

Open = Callable[[str], World]
T = TypeVar("T")

ATTEMPTS, THREADS = 500, 25


def at_once(attempts: list[Callable[[], T]]) -> list[T | Conflict]:
    """Make attempts from many threads, which begin together; return what each gave, a conflict as a value."""
    together = threading.Barrier(THREADS)

    def one(number: int) -> T | Conflict:
        if number < THREADS:
            together.wait(60)
        try:
            return attempts[number]()
        except Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(len(attempts))))


def kinds(world: World, name: str) -> Counter[EventKind]:
    return Counter(EventKind(signed.entry.body["kind"]) for signed in world.entries(name))


@pytest.mark.timeout(300)
def test_one_breach_that_is_answered_500_times_settles_once(world_at: Open) -> None:
    world = world_at("fall-open")
    (run_id,) = [run for run, state in world.states().items() if state == "awaiting_answer"]
    answer, before = world.prove_answer(run_id), world.ledger()
    found = at_once([lambda: world.answer(run_id, answer)] * ATTEMPTS)
    receipts = [one for one in found if isinstance(one, SignedDocument)]
    # Whoever comes while another one settles may be told that the run takes no answer; nobody gets another receipt.
    assert receipts
    assert {receipt.body_hash() for receipt in receipts} == {receipts[0].body_hash()}
    counted = kinds(world, FUND)
    assert (counted[EventKind.BREACH_PROVEN], counted[EventKind.MARGIN_CALLED]) == (1, 1)
    moves = world.settlements()[run_id]["body"]["transfers"]
    after = world.ledger()
    for move in moves:
        quantity, asset = int(move["quantity"]), move["asset"]
        for account, sign in ((ledger.free(FUND), -1), (ledger.posted(FUND), 1)):
            was, now = before[account].get(asset, 0), after[account].get(asset, 0)
            assert now - was == sign * quantity
    assert not any(world.totals().values())


@pytest.mark.long
@pytest.mark.timeout(600)
def test_runs_of_several_accounts_that_are_answered_together_end_once_each(world_at: Open) -> None:
    world = world_at("enrolled")
    names = [f"fund{number}" for number in range(5)]
    for name in names:
        world.enrol(name)
        world.deposit(name, "USDC", 10**12, f"custodian-{name}")
        world.instruct(name, "post", "USDC", 10**11)
        world.submit(name, (0,) * len(world.columns))
    world.tick(1)
    while world.evaluate() is not None:
        pass
    proven = {f"{name}.1": world.prove_answer(f"{name}.1") for name in names}
    attempts = [
        lambda run=run, answer=answer: answers.take_answer(world.operator, run, answer.to_json())
        for _ in range(ATTEMPTS // len(names))
        for run, answer in proven.items()
    ]
    found = at_once(attempts)
    assert len(found) == ATTEMPTS
    for number, run in enumerate(proven):
        mine = [one for one in found[number :: len(names)] if isinstance(one, SignedDocument)]
        assert len({receipt.body_hash() for receipt in mine}) == 1
        name = run.partition(".")[0]
        assert kinds(world, name)[EventKind.COVERED] == 1
        assert world.run(run).state == "covered"
        assert world.account(name).public.run is None
        # Every entry follows the one before: nothing was lost between two threads.
        numbers = [int(signed.entry.body["number"]) for signed in world.entries(name)]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.timeout(300)
def test_one_instruction_and_one_deposit_that_come_500_times_move_once(world_at: Open) -> None:
    world = world_at("submitted")
    before, instruction = world.ledger(), world.instruction(FUND, "post", "USDC", 7)
    attempts: list[Callable[[], object]] = [
        lambda: collateral.instruct(world.operator, FUND, instruction.to_json()),
        lambda: world.deposit(FUND, "USDC", 5, "custodian-again"),
    ] * (ATTEMPTS // 2)
    found = at_once(attempts)
    entries = {one.body_hash() for one in found if isinstance(one, SignedDocument)}
    # The instruction names the entry it was signed after; one that a deposit overtook holds all the same.
    assert len(entries) == 1
    assert sum(one is None for one in found) == 1
    after = world.ledger()
    free, posted = (account["USDC"] for account in (after[ledger.free(FUND)], after[ledger.posted(FUND)]))
    assert free - before[ledger.free(FUND)]["USDC"] == 5 - 7
    assert posted - before[ledger.posted(FUND)]["USDC"] == 7
    assert not any(world.totals().values())
    assert dict(world.account().private.free)["USDC"] == free
