"""A clock that is set freezes nobody and dates nothing before what came first."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from atomic_margin.documents.clock import SteadyClock
from atomic_margin.documents.strict import instant
from atomic_margin.service.operator import clock
from atomic_margin.service.operator.clock import ClockWatch
from atomic_margin.service.operator.runs.evaluation import sweep_deadlines

from .documents import FUND
from .world import World


class Machine:
    def __init__(self) -> None:
        self.counted, self.wall = 0.0, datetime.now(timezone.utc).timestamp()

    def passes(self, seconds: float, jump: float = 0.0) -> None:
        self.counted, self.wall = self.counted + seconds, self.wall + seconds + jump


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine whose clock this process dates everything by."""
    machine = Machine()
    steady = SteadyClock(lambda: machine.wall, lambda: machine.counted)
    for place in ("documents.fields", "service.operator.store.database", "service.operator.clock"):
        monkeypatch.setattr(f"atomic_margin.{place}.CLOCK", steady)
    return machine


@pytest.mark.parametrize("jump", [7200.0, -10800.0])
def test_a_jump_is_an_alarm_and_freezes_nobody(
    world_at: Callable[[str], World], machine: Machine, jump: float, caplog: pytest.LogCaptureFixture
) -> None:
    world = world_at("submitted")
    watch = ClockWatch(world.operator.measures, clock.CLOCK)
    run_id = world.play(1)
    machine.passes(5, jump)
    with caplog.at_level(logging.WARNING):
        assert watch.look()
        assert not watch.look()
    (alarm,) = [record.getMessage() for record in caplog.records if "jumped" in record.getMessage()]
    assert f"jumped by {jump:+.0f} s; times to answer go on as before" in alarm
    assert world.operator.measures.registry.get_sample_value("atomic_margin_clock_jumps_total") == 1
    assert sweep_deadlines(world.operator) == []
    assert world.state() == "active"
    # The time to answer is as long as it was.
    machine.passes(world.operator.settings.answer_seconds * 1.1)
    assert sweep_deadlines(world.operator) == [run_id]
    dated = [instant(stored.entry.body["entered_at"]) for stored in world.entries(FUND)]
    assert dated == sorted(dated)


def test_a_start_goes_on_from_the_newest_entry(
    world_at: Callable[[str], World], machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    world = world_at("submitted")
    world.play(1)
    newest = instant(world.entries(FUND)[-1].entry.body["entered_at"])
    back = SteadyClock(lambda: newest.timestamp() - 10800, lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        clock.begin(world.operator.store, back)
    assert back.now() == newest
    assert "is 10800 s before the newest entry" in caplog.text
    ahead = SteadyClock(lambda: newest.timestamp() + 7200, lambda: 0.0)
    clock.begin(world.operator.store, ahead)
    assert ahead.now() == newest + timedelta(hours=2)
