"""What is done when no run is due, and several runs at once: on the real store, with a double for the evaluation."""

import hashlib
import threading
from collections.abc import Callable

import pytest

from atomic_margin.fhe import worker
from atomic_margin.service.operator.accounts import enrolment
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.runs import background
from atomic_margin.service.operator.runs.records import GENESIS
from atomic_margin.service.operator.runs.warming import KeyWarmer
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND, OTHER
from .double import PlainEvaluator
from .waiting import eventually
from .world import World

WorldAt = Callable[[str], World]


def hash_of(world: World, name: str) -> str:
    return hashlib.sha256(world.funds[name].keys()).hexdigest()


def warmed(world: World) -> list[str]:
    """Let a new warmer work until it finds nothing; return the keys that were expanded meanwhile, in order."""
    world.evaluator.warmed.clear()
    warmer = KeyWarmer(world.operator)
    while warmer.warm_next():
        pass
    return world.evaluator.warmed


# Warm keys


def test_the_keys_of_watched_accounts_are_expanded_once(world_at: WorldAt) -> None:
    world = world_at("two")
    assert sorted(warmed(world)) == sorted([hash_of(world, FUND), hash_of(world, OTHER)])
    assert warmed(world) == []


def test_a_run_expands_keys_too(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.play(1)
    assert warmed(world) == []


def test_keys_that_nothing_is_due_under_stay_cold(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    fund = world.admit("new")
    world.start_enrolment("new", fund.keys())
    assert warmed(world) == [hash_of(world, FUND)]
    enrolment.confirm(world.operator, "new", world.confirmation("new", fund.keys()).to_json())
    assert warmed(world) == [hash_of(world, "new")]
    assert warmed(world_at("crash-done")) == []


def test_the_keys_of_the_last_submission_come_before_newer_ones(world_at: WorldAt) -> None:
    world = world_at("submitted")
    keys = b"other keys"
    world.start_enrolment(FUND, keys, sequence=2)
    enrolment.confirm(world.operator, FUND, world.confirmation(FUND, keys).to_json())
    assert warmed(world) == [hash_of(world, FUND), hashlib.sha256(keys).hexdigest()]


def test_no_keys_make_way_for_others(world_at: WorldAt) -> None:
    world = world_at("two")
    world.evaluator.places = 1
    assert len(warmed(world)) == 1
    assert warmed(world) == []


def test_keys_that_cannot_be_expanded_are_left_to_their_run(world_at: WorldAt) -> None:
    world = world_at("two")
    world.evaluator.unloadable = {hash_of(world, FUND)}
    assert len(warmed(world)) == 2
    assert [world.operator.evaluator.is_warm(hash_of(world, name)) for name in (FUND, OTHER)] == [False, True]
    world.tick(1)
    assert [world.evaluate() for _ in range(2)] == [f"{OTHER}.1", f"{FUND}.1"]
    assert set(world.states().values()) == {RunState.AWAITING_ANSWER}


def test_one_expansion_does_not_happen_twice_at_once(world_at: WorldAt) -> None:
    world = world_at("submitted")
    warmer = KeyWarmer(world.operator)
    again: list[bool] = []

    def expand(*_: object) -> str:
        warmer.look_again()
        again.append(warmer.warm_next())
        return ""

    world.evaluator.warm_up = expand  # type: ignore[method-assign]
    assert warmer.warm_next()
    assert again == [False]


def test_keys_of_a_replaced_worker_are_expanded_again(world_at: WorldAt) -> None:
    world = world_at("submitted")
    assert warmed(world) == [hash_of(world, FUND)]
    world.evaluator.replaced += 1
    assert warmed(world) == [hash_of(world, FUND)]


def test_a_due_run_comes_before_an_expansion_and_keys_are_warm_soon_after_the_start(world_at: WorldAt) -> None:
    world = world_at("two")
    world.tick(1)
    order: list[str] = []
    world.evaluator.meanwhile = lambda: order.append("run")
    expand = world.evaluator.warm_up

    def noted(keys: worker.KeyFile, functions: tuple[str, ...]) -> str:
        order.append("expansion")
        return expand(keys, functions)

    world.evaluator.warm_up = noted  # type: ignore[method-assign]
    work = background.BackgroundWork(world.operator, interval=0.01)
    work.start()
    eventually(lambda: len(order) == 2)
    assert order == ["run", "run"]
    # Enrolled while the server runs: expanded without any run.
    keys = b"other keys"
    world.start_enrolment(FUND, keys, sequence=2)
    enrolment.confirm(world.operator, FUND, world.confirmation(FUND, keys).to_json())
    work.wake()
    eventually(lambda: world.operator.evaluator.is_warm(hashlib.sha256(keys).hexdigest()))
    work.stop()
    assert order == ["run", "run", "expansion"]


# Several workers


@pytest.fixture
def two_workers(world_at: WorldAt, monkeypatch: pytest.MonkeyPatch) -> tuple[World, list[PlainEvaluator]]:
    """The operator with two accounts, and two doubles in place of two worker processes."""
    world = world_at("two")
    world.close()
    evaluators: list[PlainEvaluator] = []

    def make(_: Operator, threads: int | None = None) -> PlainEvaluator:
        assert threads is not None
        evaluators.append(PlainEvaluator())
        return evaluators[-1]

    monkeypatch.setattr(Operator, "_new_evaluator", make)
    world.operator = Operator(Settings(world.directory, world.rules, workers=2), world.terms)
    return world, evaluators


def test_two_accounts_are_evaluated_at_once_and_one_account_in_order(
    two_workers: tuple[World, list[PlainEvaluator]],
) -> None:
    world, evaluators = two_workers
    together = threading.Barrier(2)
    for evaluator in evaluators:
        # Passes only when both are in it: were they evaluated one after the other, this would break.
        evaluator.meanwhile = lambda: together.wait(20) and None
    world.tick(1)
    work = background.BackgroundWork(world.operator, interval=0.01)
    work.start()
    eventually(lambda: list(world.states().values()).count(RunState.AWAITING_ANSWER) == 2)
    world.tick(2)
    work.wake()
    assert world.states()[f"{FUND}.2"] == world.states()[f"{OTHER}.2"] == RunState.SCHEDULED
    for name in (OTHER, FUND):
        world.answer(f"{name}.1")
    work.wake()
    eventually(lambda: list(world.states().values()).count(RunState.AWAITING_ANSWER) == 2)
    work.stop()
    assert [evaluator.evaluated for evaluator in evaluators] == [2, 2]
    with world.operator.store.unit_of_work() as session:
        rows = session.query(Run).order_by(Run.number).all()
    assert [row.number for row in rows] == [1, 2, 3, 4]
    previous = GENESIS
    for row in rows:
        signed, record = parse_signed(row.record, RunRecord)
        assert record.previous == previous
        previous = signed.body_hash()


def test_a_run_that_fails_costs_no_other_run_anything(two_workers: tuple[World, list[PlainEvaluator]]) -> None:
    world, evaluators = two_workers
    evaluators[0].failures, evaluators[1].failures = 2, 0
    world.tick(1)
    work = background.BackgroundWork(world.operator, interval=0.01)
    work.start()
    eventually(lambda: set(world.states().values()) == {RunState.AWAITING_ANSWER})
    work.stop()
    assert sum(world.run(run_id).attempts for run_id in world.states()) == 2 + 2 - evaluators[0].failures
    assert world.state(FUND) == world.state(OTHER) == AccountState.ACTIVE
    world.close()
