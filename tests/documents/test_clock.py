"""Time that documents are dated by runs on evenly, whatever is done to the machine's clock."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.clock import SLEW, SteadyClock
from atomic_margin.documents.fields import now_text

START = 1_800_000_000.0


class Machine:
    """A clock that somebody sets, and one that counts."""

    def __init__(self) -> None:
        self.counted, self.wall = 50.0, START
        self.clock = SteadyClock(lambda: self.wall, lambda: self.counted)

    def passes(self, seconds: float, jump: float = 0.0) -> float:
        """Let time pass; return how much of it the clock shows."""
        before = self.clock.now()
        self.counted += seconds
        self.wall += seconds + jump
        return (self.clock.now() - before).total_seconds()


@pytest.mark.parametrize("jump", [7200.0, -10800.0, 86400.0 * 365])
def test_a_jump_moves_a_time_to_answer_by_little_and_is_counted(jump: float) -> None:
    machine = Machine()
    assert machine.passes(10, jump) == pytest.approx(10, rel=SLEW)
    assert (machine.clock.jumps, machine.clock.last_jump) == (1, pytest.approx(jump))
    assert machine.passes(900) == pytest.approx(900, rel=SLEW)
    assert machine.clock.jumps == 1
    assert machine.clock.offset_seconds() == pytest.approx(jump, abs=20)


def test_a_small_correction_is_followed_and_no_alarm() -> None:
    machine = Machine()
    machine.passes(1, 3.0)
    machine.passes(200)
    assert machine.clock.now() == datetime.fromtimestamp(machine.wall, timezone.utc)
    assert machine.clock.jumps == 0


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(-1e7, 1e7)), max_size=40))
def test_it_never_runs_backwards_and_never_far_from_the_seconds_that_passed(moves: list[tuple[float, float]]) -> None:
    machine = Machine()
    for seconds, jump in moves:
        shown = machine.passes(seconds, jump)
        assert shown >= 0
        assert abs(shown - seconds) <= SLEW * seconds + 1e-5


def test_it_goes_on_from_what_is_stored() -> None:
    machine = Machine()
    stored = machine.clock.now() + timedelta(hours=3)
    assert machine.clock.not_before(stored) == pytest.approx(10800)
    assert machine.clock.not_before(stored - timedelta(hours=1)) == 0
    machine.passes(1)
    assert machine.clock.now() > stored
    # And nears the machine's clock.
    assert machine.passes(1000) == pytest.approx(1000 * (1 - SLEW))


def test_documents_are_dated_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr("atomic_margin.documents.fields.CLOCK", machine.clock)
    before = now_text()
    machine.passes(2, -10800)
    assert now_text() > before
