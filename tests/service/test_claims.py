"""Runs in hand: claims and their leases, whose fault a failure is, and what comes next."""

import errno
import logging
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import OperationalError

from atomic_margin.fhe.errors import EvaluationFailed, ExecutorUnavailable, WorkerLost
from atomic_margin.service.errors import ClaimLost, Conflict, NotFound
from atomic_margin.service.operator.runs import background, claims, failures, records, shortfalls
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.runs.background import BackgroundWork, keep_claims
from atomic_margin.service.operator.runs.failures import Fault, failure_of, wait_seconds
from atomic_margin.service.operator.runs.priority import Waiting, rank
from atomic_margin.service.operator.store.claims import LEASE_SECONDS, require
from atomic_margin.service.operator.store.tables import Run, ShortfallRow
from atomic_margin.service.protocol.states import AccountState, RunState, ShortfallState

from .documents import FUND, OTHER
from .waiting import eventually
from .world import World

WorldAt = Callable[[str], World]
FIRST, FALL = f"{FUND}.1", f"{FUND}.2"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Move the clock that claims are measured by."""

    def move(seconds: int) -> None:
        for module in (claims, shortfalls, background):
            monkeypatch.setattr(module, "now", lambda: datetime.now(timezone.utc) + timedelta(seconds=seconds))

    return move


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows meanwhile: what a full disk does, by the system's own means."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(world: World, *errors: Exception) -> None:
    """Let the next evaluations fail in this way."""
    left = list(errors)

    def meanwhile() -> None:
        if left:
            raise left.pop(0)

    world.evaluator.meanwhile = meanwhile


# Leases


def test_a_claim_has_an_owner_and_a_lease_until_it_is_recorded(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    seen: list[Run] = []
    world.evaluator.meanwhile = lambda: seen.append(world.run(FIRST))
    world.evaluate()
    assert len(seen[0].claimed_by or "") == 32
    assert seen[0].lease_until is not None
    run = world.run(FIRST)
    assert (run.state, run.claimed_by, run.lease_until) == (RunState.AWAITING_ANSWER, None, None)


@pytest.mark.sqlite_only("what fills is this process's disk: a server has its own")
def test_a_full_disk_heals_without_a_restart(world_at: WorldAt, at: Callable[[int], None]) -> None:
    """Neither the record nor that it failed can be written; nobody is left who would."""
    world = world_at("submitted")
    world.tick(1)
    limited = full_disk()
    world.evaluator.meanwhile = limited.__enter__
    try:
        with pytest.raises(OperationalError):
            world.evaluate()
    finally:
        limited.__exit__(None, None, None)
    world.evaluator.meanwhile = lambda: None
    assert world.run(FIRST).state is RunState.EVALUATING
    keep_claims(world.operator)
    assert world.run(FIRST).state is RunState.EVALUATING
    at(LEASE_SECONDS + 1)
    keep_claims(world.operator)
    run = world.run(FIRST)
    assert (run.state, run.attempts, run.interruptions, run.claimed_by) == (RunState.SCHEDULED, 0, 1, None)
    assert "nobody has it in hand" in (run.problem or "")
    at(LEASE_SECONDS + 3)
    assert world.evaluate() == FIRST
    assert world.run(FIRST).state is RunState.AWAITING_ANSWER


def test_a_claim_in_hand_is_renewed_and_never_taken_back(world_at: WorldAt, at: Callable[[int], None]) -> None:
    world = world_at("submitted")
    world.tick(1)
    seen: list[tuple[str, str | None]] = []

    def meanwhile() -> None:
        # The clock jumps, and the watch has its turn, before anything was renewed.
        at(7200)
        claims.reclaim(world.operator)
        keep_claims(world.operator)
        seen.append((world.run(FIRST).state, world.run(FIRST).lease_until))

    world.evaluator.meanwhile = meanwhile
    world.evaluate()
    ((state, lease),) = seen
    assert state is RunState.EVALUATING
    assert datetime.fromisoformat((lease or "").replace("Z", "+00:00")) > datetime.now(timezone.utc) + timedelta(
        hours=2
    )
    assert world.run(FIRST).state is RunState.AWAITING_ANSWER


def test_what_a_lost_claim_found_is_not_recorded(world_at: WorldAt, at: Callable[[int], None]) -> None:
    """Two callers, of whom one was taken for dead: the run has one record, by the one that has it in hand."""
    world = world_at("submitted")
    world.tick(1)

    def taken_for_dead() -> None:
        world.evaluator.meanwhile = lambda: None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.operator.claims, "owners", frozenset)
            at(LEASE_SECONDS + 1)
            assert claims.reclaim(world.operator) == [FIRST]
            at(LEASE_SECONDS + 3)
        second = claims.claim(world.operator, world.operator.line, lambda run: True)
        assert second is not None
        found.append(second.owner)

    found: list[str] = []
    world.evaluator.meanwhile = taken_for_dead
    assert world.evaluate() == FIRST
    run = world.run(FIRST)
    assert (run.state, run.record, run.claimed_by) == (RunState.EVALUATING, None, found[0])
    with pytest.raises(ClaimLost, match="another caller has run"):
        require(run, "somebody else", f"run {FIRST}")


@pytest.mark.sqlite_only("what fills is this process's disk: a server has its own")
def test_a_shortfall_that_nobody_has_in_hand_is_taken_back(world_at: WorldAt, at: Callable[[int], None]) -> None:
    world = world_at("fall-done")
    limited = full_disk()
    world.evaluator.meanwhile = limited.__enter__
    try:
        with pytest.raises(OperationalError):
            shortfalls.evaluate_shortfall(world.operator)
    finally:
        limited.__exit__(None, None, None)
    world.evaluator.meanwhile = lambda: None
    assert shortfalls.evaluate_shortfall(world.operator) is False
    at(LEASE_SECONDS + 1)
    keep_claims(world.operator)
    at(LEASE_SECONDS + 3)
    assert shortfalls.evaluate_shortfall(world.operator) is True
    with world.operator.store.unit_of_work() as session:
        assert session.get_one(ShortfallRow, FALL).state is ShortfallState.RECORDED


# Whose fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (EvaluationFailed("refused"), Fault.EVALUATION),
        (NotFound("no bytes"), Fault.EVALUATION),
        (ValueError("x"), Fault.EVALUATION),
        (FileNotFoundError(errno.ENOENT, "x"), Fault.EVALUATION),
        (WorkerLost("died"), Fault.WORKER),
        (ExecutorUnavailable("no cluster"), Fault.MACHINE),
        (OSError(errno.ENOSPC, "no space"), Fault.MACHINE),
        (OperationalError("UPDATE runs", {"secret": 1}, Exception("database is locked")), Fault.MACHINE),
    ],
)
def test_whose_fault_it_is(error: Exception, fault: Fault) -> None:
    failure = failure_of(error)
    assert failure.fault is fault
    assert "secret" not in str(failure)
    assert failure_of(error, stopping=True).fault is Fault.STOPPED


def test_waits_grow_to_a_bound_and_are_not_in_step() -> None:
    assert [0.5 <= wait_seconds(1) <= 1, 4 <= wait_seconds(4) <= 8, 30 <= wait_seconds(10**6) <= 60] == [True] * 3
    assert len({wait_seconds(5) for _ in range(20)}) > 1


def test_three_deaths_of_workers_in_a_row_fail_no_run(world_at: WorldAt, at: Callable[[int], None]) -> None:
    world = world_at("submitted")
    world.tick(1)
    failing(world, *[WorkerLost("the evaluation worker died and is replaced")] * 3)
    for death in range(1, 4):
        at(100 * death)
        assert world.evaluate() == FIRST
        run = world.run(FIRST)
        assert (run.state, run.attempts, run.worker_deaths) == (RunState.SCHEDULED, 0, death)
        assert "its worker died, which may be anybody's fault" in (run.problem or "")
        # It waits, longer every time.
        assert world.evaluate() is None
    at(1000)
    assert world.evaluate() == FIRST
    run = world.run(FIRST)
    assert (run.state, run.attempts, run.problem) == (RunState.AWAITING_ANSWER, 1, None)


def test_what_kills_every_worker_ends_as_failed(world_at: WorldAt, at: Callable[[int], None]) -> None:
    world = world_at("submitted")
    world.tick(1)
    failing(world, *[WorkerLost("died")] * failures.MAX_WORKER_DEATHS)
    for death in range(failures.MAX_WORKER_DEATHS):
        at(100 * death)
        assert world.evaluate() == FIRST
    run = world.run(FIRST)
    assert (run.state, world.state()) == (RunState.FAILED, AccountState.ACTIVE)
    assert (run.problem or "").startswith("its worker died 8 times")
    assert world.entries()[-1].document.body["reason"] == "its worker died 8 times"
    with pytest.raises(Conflict, match="its tick is used up"):
        claims.run_again(world.operator, FIRST)


def test_machines_are_at_fault_far_longer_but_not_for_ever(world_at: WorldAt, at: Callable[[int], None]) -> None:
    world = world_at("submitted")
    world.tick(1)
    failing(world, *[ExecutorUnavailable("no worker is there")] * 2, OSError(errno.ENOSPC, "no space left"))
    for number in range(3):
        at(100 * number)
        world.evaluate()
    assert (world.run(FIRST).state, world.run(FIRST).attempts) == (RunState.SCHEDULED, 0)
    with world.operator.store.unit_of_work() as session:
        session.get_one(Run, FIRST).interruptions = failures.MAX_INTERRUPTIONS - 1
    failing(world, ExecutorUnavailable("no worker is there"))
    at(1000)
    world.evaluate()
    assert world.run(FIRST).state is RunState.FAILED


def test_a_run_is_tried_again_at_once_when_the_operator_says_so(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    with world.operator.store.unit_of_work() as session:
        session.get_one(Run, FIRST).interruptions = 9
    failing(world, WorkerLost("died"))
    world.evaluate()
    assert world.evaluate() is None
    claims.run_again(world.operator, FIRST)
    assert world.evaluate() == FIRST
    assert world.run(FIRST).state is RunState.AWAITING_ANSWER
    with pytest.raises(Conflict, match="is awaiting_answer"):
        claims.run_again(world.operator, FIRST)
    with pytest.raises(NotFound, match="no run 'nothing'"):
        claims.run_again(world.operator, "nothing")


def test_a_failure_is_one_line_and_its_trace_is_for_debugging(
    world_at: WorldAt, caplog: pytest.LogCaptureFixture
) -> None:
    world = world_at("submitted")
    world.tick(1)
    failing(world, EvaluationFailed("the library refused"))
    with caplog.at_level(logging.INFO):
        world.evaluate()
    (line,) = [record for record in caplog.records if "was not evaluated" in record.message]
    assert line.message.removeprefix(f"run {FIRST} was not evaluated: ") == (
        "the evaluation failed: EvaluationFailed: the library refused"
    )
    assert not any(record.exc_info for record in caplog.records)


# What comes next


def waiting(name: str, **changed: object) -> Waiting:
    return Waiting(f"{name}.9", name, False, 9, None, AccountState.ACTIVE, 5, 5)._replace(**changed)  # type: ignore[arg-type]


def test_the_order_of_runs() -> None:
    expected = [
        waiting("z", second=True, last_run=9),
        waiting("y", state=AccountState.FROZEN, covered=2, last_run=8),
        waiting("x", state=AccountState.FROZEN, covered=4),
        waiting("w", last_run=1),
        waiting("v", price_sequence=10),
        waiting("a"),
        waiting("b"),
    ]
    expected.reverse()
    assert sorted(expected, key=rank) == expected[::-1]


def test_an_account_that_owes_comes_first(world_at: WorldAt, later: Callable[[int], None]) -> None:
    world = world_at("two")
    world.play(1)
    world.answer(f"{OTHER}.1")
    later(905)
    assert runs.sweep_deadlines(world.operator) == [FIRST]
    world.tick(2)
    assert [world.evaluate() for _ in range(3)] == [FALL, f"{OTHER}.2", None]


def minute(number: int) -> dict[str, object]:
    return {"sequence": str(number), "as_of": f"2026-11-20T10:{number:02d}:00Z"}


def test_of_ten_ticks_at_once_the_newest_alone_is_evaluated(world_at: WorldAt) -> None:
    world = world_at("two")
    for number in range(1, 11):
        world.tick(1, **minute(number))
    while world.evaluate() is not None:
        pass
    assert world.evaluator.evaluated == 2
    states = world.states()
    assert {run_id for run_id, state in states.items() if state == RunState.AWAITING_ANSWER} == {
        f"{FUND}.10",
        f"{OTHER}.10",
    }
    assert list(states.values()).count(RunState.SUPERSEDED) == 18


def test_ticks_that_come_while_a_run_is_evaluated_cost_one_more(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1, **minute(1))

    def meanwhile() -> None:
        world.evaluator.meanwhile = lambda: None
        for number in range(2, 11):
            world.tick(1, **minute(number))

    world.evaluator.meanwhile = meanwhile
    assert world.evaluate() == FIRST
    assert world.evaluate() is None
    world.answer(FIRST)
    assert [world.evaluate() for _ in range(2)] == [f"{FUND}.10", None]
    assert world.evaluator.evaluated == 2


# Turns of shortfalls


def test_a_shortfall_has_its_turn_among_runs_and_no_run_waits_for_two() -> None:
    turns, done = background.ShortfallTurns(), []
    for _ in range(3 * background.RUNS_A_SHORTFALL):
        if turns.due():
            assert turns.one(lambda: done.append("shortfall") or True)
            # While one is evaluated, no other thread begins another.
        done.append("run")
        turns.ran()
    assert "".join(word[0] for word in done) == "rrrrsrrrrsrrrr"
    assert turns.one(lambda: turns.one(lambda: True)) is False


def test_shortfalls_are_evaluated_by_the_workers_of_runs(world_at: WorldAt) -> None:
    world = world_at("fall-done")
    work = BackgroundWork(world.operator, interval=0.01)
    work.start()

    def recorded() -> bool:
        with world.operator.store.unit_of_work() as session:
            return session.get_one(ShortfallRow, FALL).state is ShortfallState.RECORDED

    eventually(recorded)
    work.stop()
    assert world.evaluator.evaluated == 1


# Stopping


def test_stopping_waits_for_the_run_in_hand(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    entered, go = threading.Event(), threading.Event()

    def meanwhile() -> None:
        entered.set()
        assert go.wait(20)

    world.evaluator.meanwhile = meanwhile
    work = BackgroundWork(world.operator, interval=0.01)
    work.start()
    assert entered.wait(20)
    threading.Timer(0.2, go.set).start()
    work.stop()
    assert world.run(FIRST).state is RunState.AWAITING_ANSWER


def test_a_record_names_the_claim_it_is_made_under(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    taken = claims.claim(world.operator, world.operator.line, lambda run: True)
    assert taken is not None
    plan = records.begin(world.operator, FIRST)
    with world.operator.store.unit_of_work() as session:
        session.get_one(Run, FIRST).claimed_by = "f" * 32
    evaluated = records.TimedEvaluation(None, datetime.now(timezone.utc), datetime.now(timezone.utc))  # type: ignore[arg-type]
    with pytest.raises(ClaimLost):
        records.record(world.operator, plan, taken, evaluated)
