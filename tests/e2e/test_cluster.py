"""An operator whose runs are evaluated by two workers behind a scheduler: all of them real processes, real FHE."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from distributed import Client

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.messages import TickAccepted
from atomic_margin.service.protocol.states import AccountState, RunState

from ..fhe.cluster import children, listens_at_all, machines
from .harness import World
from .second import SECOND, eventually, held, join_second, one_beside_the_other

pytestmark = [pytest.mark.fhe, pytest.mark.long]


def counted(world: World) -> dict[str, tuple[str, int, int]]:
    """Return of each run its state, its attempts, and how many workers died with it."""
    with world.stored() as session:
        return {run.run_id: (run.state, run.attempts, run.worker_deaths) for run in session.query(Run)}


def processes_of(worker: "subprocess.Popen[bytes]") -> list[int]:
    return [worker.pid, *children(worker.pid)]


def idle(scheduler: Client) -> bool:
    """Whether no worker has anything to do, and none gets anything for a while."""
    for _ in range(5):
        if any(scheduler.processing().values()):
            return False
        time.sleep(0.2)
    return True


def evaluates(scheduler: Client, name: str) -> bool:
    """Whether the worker of a name was given a run, and has not said that it is done."""
    (address,) = (key for key, one in scheduler.scheduler_info()["workers"].items() if one["name"] == name)
    return any(task.startswith("evaluate-") for task in scheduler.processing().get(address, ()))


def test_two_institutions_are_evaluated_in_parallel_and_a_killed_worker_s_run_is_finished_by_the_other(
    world: World, ready_made_keys: None, tmp_path: Path
) -> None:
    with (
        machines(tmp_path, 2) as cluster,
        world.serving(options=("--scheduler", cluster.address, "--workers", "2")),
        Client(cluster.address, set_as_default=False) as scheduler,
    ):
        second = join_second(world)

        def tick(number: int) -> list[str]:
            return list(TickAccepted.parse(world.operator.post("/v1/ticks", world.prices(1, number))).runs)

        def answer() -> None:
            with world.own_agent() as first:
                assert first.answer_due()
            assert second.answer_due()

        # Both workers are there before anything is due, and have expanded keys before anything is held.
        eventually(lambda: all(any(map(listens_at_all, children(one.pid))) for one in cluster.workers))
        runs = tick(1)
        assert runs == [f"{SECOND}.1", f"{NAME}.1"]
        for run_id in runs:
            world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        answer()
        eventually(lambda: idle(scheduler))

        # One is held with a run that the scheduler gave it: the other run is evaluated beside it, and not after it.
        with held(processes_of(cluster.workers[0])):
            runs = tick(2)
            eventually(lambda: evaluates(scheduler, "w0") and one_beside_the_other(world, runs))
        for run_id in runs:
            world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        answer()
        eventually(lambda: idle(scheduler))

        # One machine is gone in the middle of a run, with whatever would start its worker again.
        with held(victim := processes_of(cluster.workers[0])):
            runs = tick(3)
            eventually(lambda: evaluates(scheduler, "w0") and one_beside_the_other(world, runs))
            for process in victim:
                os.kill(process, signal.SIGKILL)
        for run_id in runs:
            world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        found = counted(world)
        assert sorted(found[run_id] for run_id in runs) == [
            (RunState.AWAITING_ANSWER, 1, 0),
            (RunState.AWAITING_ANSWER, 1, 1),
        ]
        answer()
        second.close()
        assert world.account().state is AccountState.ACTIVE
