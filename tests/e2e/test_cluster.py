"""An operator whose runs are evaluated by two workers behind a scheduler: all of them real processes, real FHE."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.protocol.messages import RunView, TickAccepted
from atomic_margin.service.protocol.states import AccountState, RunState

from ..fhe.cluster import children, listens_at_all, machines
from .harness import World
from .second import SECOND, computing, eventually, join_second

pytestmark = [pytest.mark.fhe, pytest.mark.long]


def counted(world: World) -> dict[str, tuple[str, int, int]]:
    """Return of each run its state, its attempts, and how many workers died with it."""
    database = sqlite3.connect(f"file:{world.root}/operator/operator.db?mode=ro", uri=True)
    try:
        rows = database.execute("SELECT run_id, state, attempts, worker_deaths FROM runs").fetchall()
    finally:
        database.close()
    return {run_id: tuple(rest) for run_id, *rest in rows}


def test_two_institutions_are_evaluated_in_parallel_and_a_killed_worker_s_run_is_finished_by_the_other(
    world: World, ready_made_keys: None, tmp_path: Path
) -> None:
    with (
        machines(tmp_path, 2) as cluster,
        world.serving(options=("--scheduler", cluster.address, "--workers", "2")),
    ):
        second = join_second(world)

        def tick(number: int) -> list[str]:
            return list(TickAccepted.parse(world.operator.post("/v1/ticks", world.prices(1, number))).runs)

        def answer() -> None:
            with world.own_agent() as first:
                assert first.answer_due()
            assert second.answer_due()

        def begun(run_id: str) -> bool:
            return world.operator.read(f"/v1/runs/{run_id}", RunView).state is RunState.EVALUATING

        # Both workers are there before anything is due, so that neither run waits for one.
        eventually(lambda: all(any(map(listens_at_all, children(one.pid))) for one in cluster.workers))
        runs = tick(1)
        assert runs == [f"{SECOND}.1", f"{NAME}.1"]
        views = [world.wait_run(run_id, (RunState.AWAITING_ANSWER,)) for run_id in runs]
        times = [computing(view) for view in views]
        assert max(start for start, _ in times) < min(end for _, end in times)
        answer()

        runs = tick(2)
        eventually(lambda: all(map(begun, runs)))
        # One machine is gone, with whatever would start its worker again.
        victim = cluster.workers[0]
        for process in [victim.pid, *children(victim.pid)]:
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
