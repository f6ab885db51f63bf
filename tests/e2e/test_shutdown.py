"""The operator's process at its limits: stopped while a worker hangs, and with a disk that is full for a while."""

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.states import RunState

from .harness import World
from .second import eventually, workers_of

pytestmark = [pytest.mark.fhe, pytest.mark.long]

RUN = f"{NAME}.1"
GRACE_SECONDS = 2
ENDED = (0, -signal.SIGTERM)
"""The server gives itself the signal once more when it has done what there was to do."""


def stored(world: World) -> tuple[str, int, str | None]:
    with world.stored() as session:
        run = session.get_one(Run, RUN)
        return run.state, run.attempts, run.claimed_by


def evaluating(world: World) -> None:
    assert world.tick(1, 1) == RUN
    eventually(lambda: world.operator.read(f"/v1/runs/{RUN}", RunView).state is RunState.EVALUATING)


def test_a_worker_that_hangs_cannot_hold_a_shutdown(world: World) -> None:
    with world.serving(options=("--grace-seconds", str(GRACE_SECONDS))):
        (worker,) = workers_of(world)
        evaluating(world)
        os.kill(worker, signal.SIGSTOP)
        started = time.monotonic()
        assert world.operator_process is not None
        world.operator_process.signal(signal.SIGTERM)
        assert world.operator_process.wait(60) in ENDED
        spent = time.monotonic() - started
        assert not Path(f"/proc/{worker}").exists()
    assert GRACE_SECONDS <= spent < 40
    # The run was handed back, and that was no attempt.
    assert stored(world) == (RunState.SCHEDULED, 0, None)
    with world.serving():
        world.wait_run(RUN, (RunState.AWAITING_ANSWER,))
    assert stored(world) == (RunState.AWAITING_ANSWER, 1, None)


def test_a_run_in_hand_ends_before_the_operator_does(world: World) -> None:
    with world.serving():
        evaluating(world)
        assert world.operator_process is not None
        world.operator_process.signal(signal.SIGTERM)
        assert world.operator_process.wait(60) in ENDED
    assert stored(world) == (RunState.AWAITING_ANSWER, 1, None)


@pytest.mark.sqlite_only("a server's disk is not the operator's, whose files do not grow here")
def test_a_disk_that_was_full_needs_no_restart(world: World) -> None:
    """No file of the operator grows from the middle of an evaluation until long after its end."""
    with world.serving():
        (worker,) = workers_of(world)
        evaluating(world)
        assert world.operator_process is not None
        soft, hard = resource.prlimit(world.operator_process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(world.operator_process.pid, resource.RLIMIT_FSIZE, (1, hard))
        time.sleep(15)
        # It is neither recorded nor given back: nothing can be written.
        assert stored(world)[:2] == (RunState.EVALUATING, 1)
        resource.prlimit(world.operator_process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        world.wait_run(RUN, (RunState.AWAITING_ANSWER,))
        assert workers_of(world) == [worker]
    assert stored(world) == (RunState.AWAITING_ANSWER, 1, None)
