"""The server dies at every named fault point and starts again: nothing is lost, nothing happens twice.

Server and agent are processes with the real HTTP, database, ledger and proofs. In one test a worker dies that evaluates
under encryption; otherwise the server evaluates in the clear (`plain_server`).
"""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.institution.answering import prepare
from atomic_margin.service.institution.store import OwnAnswer
from atomic_margin.service.operator.faults import EXIT_CODE, RUN_FAULTS
from atomic_margin.service.protocol.agent_messages import DecidedRuns
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import AccountState, RunState

from .harness import PLAIN, World
from .preloaded import Process

pytestmark = pytest.mark.fhe


def die(world: World, fault: str) -> str:
    """Run the operator until it dies at `fault` while a breach is evaluated or answered; return the run."""
    # Whoever talks to the operator may find it gone.
    with world.serving(fault=fault), contextlib.suppress(RemoteError):
        with contextlib.suppress(RemoteError), world.answering():
            world.tick(2, 1)
            world.operator_process.wait(timeout=60)
        world.operator_process.wait(timeout=60)
    assert world.operator_process.returncode == EXIT_CODE
    return f"{NAME}.1"


def worker_of(process: Process) -> int:
    """The evaluation worker's process number: the child that computes, not the standard library's resource tracker."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return max(map(int, children), key=lambda pid: int(Path(f"/proc/{pid}/statm").read_text().split()[0]))


def assert_no_worker_left(worker: int) -> None:
    """A server that died takes its worker, and the keys in its memory, with it."""
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and Path(f"/proc/{worker}/cmdline").read_text():
        assert time.monotonic() < deadline, f"worker {worker} outlived its server"
        time.sleep(0.2)


@pytest.mark.parametrize(
    "fault",
    [fault if fault == "settlement-booked" else pytest.param(fault, marks=pytest.mark.long) for fault in RUN_FAULTS],
)
def test_a_breach_settles_exactly_once_whenever_the_server_dies(plain_world: World, fault: str) -> None:
    assert_settled_once_after(plain_world, die(plain_world, fault))


@pytest.mark.long
def test_a_server_that_died_takes_its_worker_along_and_the_next_one_evaluates_again(world: World) -> None:
    """The worker that dies evaluates under encryption."""
    workers: list[int] = []
    folders: list[Path] = []

    def evaluating(view: RunView) -> bool:
        workers[:] = [worker_of(world.operator_process)]
        folders[:] = world.temporary.iterdir()
        return view.state is not RunState.SCHEDULED

    with world.serving(fault="run-evaluated") as operator, contextlib.suppress(RemoteError):
        run_id = world.tick(2, 1)
        operator.wait(f"/v1/runs/{run_id}", RunView, evaluating, 60, lambda _: None)
        world.operator_process.wait(timeout=60)
    assert world.operator_process.returncode == EXIT_CODE
    assert_no_worker_left(workers[0])
    # The worker had its folder, with compiled code in it, and removed it.
    assert len(folders) == 1
    assert list(world.temporary.iterdir()) == []
    world.program = PLAIN
    assert_settled_once_after(world, run_id)


def assert_settled_once_after(world: World, run_id: str) -> None:
    """Run both parties on what a crash left: the breach settles, once, and the account goes on."""
    before = {"free": {"TBILL-2027-02": "15000000"}, "posted": {"USDC": "300000000000"}}
    with world.both():
        view = world.wait_run(run_id, (RunState.SETTLED,))
        assert view.settlement["body"]["kind"] == "margin_call"
        (move,) = view.settlement["body"]["transfers"]
        held = world.account().collateral
        assert int(before["free"][move["asset"]]) - held.free[move["asset"]] == int(move["quantity"])
        assert held.posted[move["asset"]] == int(move["quantity"])
        world.ledger()
        # Whatever reply was lost, the agent has receipt and settlement now, and can hold the operator to them.
        world.agent.wait("/v1/runs", DecidedRuns, lambda seen: seen.runs[0].delivered, 10, lambda _: None)
        # The run can go on: the next tick counts the moved collateral.
        assert world.wait_run(world.tick(2, 2), (RunState.COVERED, RunState.SETTLED)).state is RunState.COVERED
        assert world.account().state is AccountState.ACTIVE


@pytest.mark.long
def test_a_second_server_start_settles_nothing_again(plain_world: World) -> None:
    world = plain_world
    run_id = die(world, "settlement-committed")
    seen: list[dict[str, Any]] = []
    for _ in range(2):
        with world.serving():
            view = world.wait_run(run_id, (RunState.SETTLED,))
            # The shortfall of the run may be recorded by the second start, or not yet.
            account = world.account().model_copy(update={"shortfalls": ()})
            seen.append({"view": view.settlement, "account": account, "ledger": world.ledger()})
    assert seen[0] == seen[1]


@pytest.mark.long
def test_an_institution_that_died_after_deciding_sends_the_same_answer(plain_world: World) -> None:
    world = plain_world
    with world.serving():
        run_id = world.tick(2, 1)
        world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        with world.own_agent() as prepared:
            prepared.history.sync()
            prepare(prepared._party, Policy.ALWAYS)
            with prepared._store.unit_of_work() as session:
                first = session.get_one(OwnAnswer, run_id).document
        with world.answering():
            world.wait_run(run_id, (RunState.SETTLED,))
        published = world.operator.get(f"/v1/attestations/{run_id}")
        assert published["body"]["answer"] == first


def test_files_left_by_a_crash_are_removed_at_start(plain_world: World) -> None:
    world = plain_world
    blobs = world.root / "operator" / "blobs"
    kept = {path.name for path in blobs.iterdir()}
    (blobs / ".new-left-over").write_bytes(b"half")
    shutil.copy(next(blobs.iterdir()), blobs / ("0" * 64))
    with world.serving():
        assert world.account().institution == NAME
        assert {path.name for path in blobs.iterdir()} == kept
