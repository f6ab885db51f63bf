"""SIGKILL of evaluation workers, of Dask workers and of their scheduler while runs are evaluated under encryption."""

import contextlib
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..e2e.harness import World
from ..e2e.second import eventually
from ..fhe.cluster import Machines, children, listens_at_all, machines
from .house import House, open_house
from .moments import MOMENTS, random_of
from .stories import Report, Victim, calm, killed_at, verdict, wait_over_said

pytestmark = [pytest.mark.long, pytest.mark.fhe, pytest.mark.timeout(1800)]

WORKER_KILLS = 10
CLUSTER_KILLS = 8
EVALUATING = [None, *MOMENTS[:3]]
"""Moments while a run is evaluated, or just before or after."""


@dataclass
class Worker:
    """The operator's evaluation worker, which the operator starts again itself."""

    house: House
    name: str = "worker"

    def kill(self) -> None:
        process = self.house.operator.process
        assert process is not None
        eventually(lambda: self._computing(process.pid) is not None, 120)
        found = self._computing(process.pid)
        if found is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)

    def start(self) -> None:
        """The operator does."""

    @staticmethod
    def _computing(pid: int) -> int | None:
        """Return the child with the most memory, unless that is the standard library's resource tracker."""
        sizes = {}
        for child in children(pid):
            try:
                sizes[child] = int(Path(f"/proc/{child}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
        largest = max(sizes, key=lambda child: sizes[child], default=None)
        return largest if largest is not None and sizes[largest] > 10_000 else None


@dataclass
class DaskWorker:
    """A machine's worker with whatever would start it again on that machine; another machine takes its place."""

    cluster: Machines
    name: str = "dask worker"

    def kill(self) -> None:
        victim = self.cluster.workers[-1]
        for process in [victim.pid, *children(victim.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        victim.wait(20)

    def start(self) -> None:
        self.cluster.start_worker()


@dataclass
class Scheduler:
    """The process that workers and the operator meet at."""

    cluster: Machines
    name: str = "scheduler"

    def kill(self) -> None:
        assert self.cluster.scheduler is not None
        self.cluster.scheduler.kill()
        self.cluster.scheduler.wait(20)

    def start(self) -> None:
        self.cluster.start_scheduler()


def play_evaluations(house: House, choices: random.Random, kills: int, victims: list[Victim]) -> Report:
    """Play ticks, every third with a call, and kill one of the victims in each while a run is evaluated."""
    report = Report()
    while report.kills < kills:
        if len(house.ticks) % 3 == 0:
            house.falling()
        victim = victims[report.kills % len(victims)]
        number = killed_at(house, choices.choice(EVALUATING), choices.uniform(0, 1.2), [victim], report)
        wait_over_said(house, number, report)
    return report


def test_workers_are_killed_while_they_evaluate(world: World) -> None:
    choices = random_of("workers")
    with open_house(world, program="tests.e2e.runs_server") as house:
        calm(house)
        report = play_evaluations(house, choices, WORKER_KILLS, [Worker(house)])
        calm(house)
        judged = verdict(house)
        assert house.operator.starts == house.agent.starts == 1
    judged()
    assert report.kills == WORKER_KILLS


def test_machines_and_the_scheduler_are_killed_while_they_evaluate(world: World, tmp_path: Path) -> None:
    choices = random_of("cluster")
    with machines(tmp_path, 1) as cluster:
        options = ("--scheduler", cluster.address)
        with open_house(world, program="tests.e2e.runs_server", options=options) as house:
            eventually(lambda: any(map(listens_at_all, children(cluster.workers[0].pid))), 120)
            calm(house)
            victims: list[Victim] = [DaskWorker(cluster), Scheduler(cluster)]
            report = play_evaluations(house, choices, CLUSTER_KILLS, victims)
            calm(house)
            judged = verdict(house)
            assert house.operator.starts == house.agent.starts == 1
        judged()
    assert report.kills == CLUSTER_KILLS
