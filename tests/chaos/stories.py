"""What stories have in common: a tick after the other, something killed at a moment of each, and the end of it all."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from atomic_margin.service.protocol.states import RunState

from .house import GENEROUS_SECONDS, NAME, House, Lines
from .judge import SETTLED, Seen, judge, served
from .moments import MOMENTS, Moment, delay

ENDS = (RunState.COVERED, RunState.SETTLED, RunState.SUPERSEDED)
"""What a run has to be in the end, whatever happened to whom."""
MOMENT_SECONDS = 120.0


class Victim(Protocol):
    """What can be killed, and is started again by a supervisor, or by nobody where its parent does so."""

    @property
    def name(self) -> str:
        """For reports."""

    def kill(self) -> None:
        """Let it end as if the power had gone."""

    def start(self) -> None:
        """Start it again."""


Choose = Callable[[House, random.Random], list[Victim]]
"""Picks whom to kill in a tick."""


def parties(house: House, choices: random.Random) -> list[Victim]:
    """Pick operator, agent or both."""
    both: list[Victim] = [house.operator, house.agent]
    return choices.choice([both[:1], both[:1], both[1:], both])


@dataclass
class Report:
    """What was done to whom, for whoever reads a failure."""

    kills: int = 0
    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)
        print(line)


@contextmanager
def sending(house: House) -> Iterator[None]:
    """Send the next tick beside the block, and have it taken at the end of it."""
    failed: list[BaseException] = []

    def send() -> None:
        try:
            house.tick()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=send, name="sources")
    thread.start()
    try:
        yield
    finally:
        thread.join(GENEROUS_SECONDS + 60)
    if failed:
        raise failed[0]
    assert not thread.is_alive()


def watching(house: House) -> Callable[[Moment, str], None]:
    """Look at both logs from now on; return what waits there for a moment of a run."""
    logs = {"operator": Lines(house.operator.log), "agent": Lines(house.agent.log)}

    def wait(moment: Moment, run_id: str) -> None:
        seen = logs[moment.log].wait(lambda line: moment.tells(line, run_id), MOMENT_SECONDS)
        assert seen is not None, f"{run_id}: no '{moment.name}' in {moment.log}'s log within {MOMENT_SECONDS} s"

    return wait


def killed_at(house: House, moment: Moment | None, after: float, victims: Sequence[Victim], report: Report) -> int:
    """Play a tick, kill at a moment of it, start again what was killed; return the number of the tick."""
    number = len(house.ticks) + 1
    run_id = f"{NAME}.{number}"
    wait = watching(house)
    with sending(house):
        if moment is not None:
            wait(moment, run_id)
        time.sleep(after)
        for victim in victims:
            victim.kill()
        report.kills += len(victims)
        names = " and ".join(victim.name for victim in victims)
        report.say(f"{run_id}: {names} killed {after:.3f} s after {moment.name if moment else 'the tick was sent'}")
        for victim in victims:
            victim.start()
    return number


def play(house: House, choices: random.Random, kills: int, report: Report, choose: Choose = parties) -> None:
    """Play ticks, every other with a call, and kill whom `choose` picks in each, until so many were killed."""
    wanted = report.kills + kills
    while report.kills < wanted:
        falling = len(house.ticks) % 2 == 1 and house.falling()
        possible = [None, *(one for one in MOMENTS if one.falling in (None, falling))]
        moment = choices.choice(possible)
        victims = choose(house, choices)[: wanted - report.kills]
        number = killed_at(house, moment, delay(choices), victims, report)
        if report.kills < wanted and choices.random() < 0.25:
            # Once more while it recovers.
            victim = victims[0]
            pause = choices.uniform(0, 3)
            time.sleep(pause)
            victim.kill()
            victim.start()
            report.kills += 1
            report.say(f"{NAME}.{number}: {victim.name} killed again {pause:.3f} s later")
        wait_over_said(house, number, report)


def wait_over_said(house: House, number: int, report: Report) -> None:
    """Wait until the run under a tick is over, and say what it is."""
    report.say(f"{NAME}.{number}: {house.wait_over(number, ENDS)}")


def calm(house: House, ticks: int = 1) -> None:
    """Play ticks that nothing happens in: each has to be covered, and nothing is started for it.

    Where a run is not evaluated within half a minute the agent proves its book covered without one, which supersedes
    it: on a machine that is very busy this is how it ends.
    """
    for _ in range(ticks):
        number = house.tick()
        house.wait_over(number, (RunState.COVERED, RunState.SUPERSEDED))


def ended(house: House) -> Seen:
    """Wait until the agent has all that the operator has; return what that is."""
    seen: list[Any] = [None]
    token = (house.world.root / "operator" / "admin.token").read_text().strip()

    def agreed() -> bool:
        seen[0] = served(house.url, token, house.ticks)
        account = house.status_account()
        return account is not None and account.entries == len(seen[0].entries)

    house.eventually(agreed, lambda: f"the agent has not all of {len(seen[0].entries)} entries")
    house.no_alarm()
    found: Seen = seen[0]
    return found


def verdict(house: House, database: str | None = None) -> Callable[[], Seen]:
    """Read what a house serves at its end; return what judges it once it is stopped."""
    seen = ended(house)

    def of_the_stopped() -> Seen:
        wrong = judge(house.world.root, seen, database)
        assert wrong == [], "\n".join(wrong)
        # A story in which nothing is called and settled shows nothing.
        assert any(SETTLED & {*kinds} for kinds in seen.of_runs().values())
        return seen

    return of_the_stopped
