"""What happens to custodians in an opening: who is killed when and how, for how long, and who stays away."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from atomic_margin.service.protocol.states import RunState

from .custody import ORPHAN_SECONDS, Custodian, CustodyHouse, Watching, folders
from .house import GENEROUS_SECONDS, NAME
from .judge_openings import Remembered, nothing_open
from .moments import delay
from .stories import Report

MOMENT_SECONDS = 90.0
LONGEST_PAUSE = 5.0
LAPSE_SECONDS = 900.0
"""An operator lets an opening lapse after ten minutes."""


class Moment(NamedTuple):
    """A line of logs in an opening: of any custodian's, or the operator's.

    Attributes:
        name: for reports.
        event: that the line tells.
        most: how many such lines there are for sure, whoever is away.
    """

    name: str
    event: str | None
    most: int = 1


MOMENTS = (
    Moment("it was asked for", None),
    Moment("agreed", "opening agreed", 3),
    Moment("the engine began", "opening session begins", 3),
    Moment("found", "opening computed", 3),
    Moment("signed", "opening signed", 2),
    Moment("entered", "book opened"),
)
"""In their order. A moment is one of these lines, which of them, and a part of a second after it."""
BEFORE_ANYTHING_IS_FOUND = MOMENTS[:3]


@dataclass(frozen=True)
class Plan:
    """What is done in one opening.

    Attributes:
        breach: whether prices fall before.
        moment: of the first kill.
        nth: of the lines that tell it.
        after: seconds from there on.
        victims: points of who is killed.
        alone: whether their engines go on.
        pause: seconds until they are started again.
        away: point of who is dead all the time, from before it is asked for.
        stays: the victim stays dead until the opening is over.
        again: seconds after which one is killed once more, if it is.
        answered: victims stay dead until the institution comes back and answers.
    """

    breach: bool
    moment: Moment
    nth: int
    after: float
    victims: tuple[int, ...]
    alone: bool
    pause: float
    away: int | None
    stays: bool
    again: float | None
    answered: bool


def plans(choices: random.Random, count: int, breaches: int) -> list[Plan]:
    """Choose so many: every moment as often as others, and among any ten one of each special kind, and more."""
    moments: list[Moment] = []
    while len(moments) < count:
        moments += choices.sample(MOMENTS, len(MOMENTS))
    falling = set(choices.sample(range(count), breaches))
    return [_plan(choices, number, moments[number], number in falling) for number in range(count)]


def _plan(choices: random.Random, number: int, moment: Moment, breach: bool) -> Plan:
    points = choices.sample((1, 2, 3, 4), 4)
    answered, away, stays, many = number % 10 == 6, number % 5 == 1, number % 5 == 2, number % 5 == 3
    if answered:
        moment = choices.choice(BEFORE_ANYTHING_IS_FOUND)
    # One more than may be away, at least: of the four, or of the three that are left.
    killed = choices.choice((2, 3, 4)) if many or answered else 1 if stays else choices.choice((1, 1, 2))
    # Often the closer, for whom the others wait.
    victims = (choices.choice((1, 1, points[0])),) if stays else tuple(sorted(points[:killed]))
    alone = choices.random() < 0.4
    again = choices.uniform(0, 3) if choices.random() < 0.25 and not answered else None
    return Plan(
        breach,
        moment,
        choices.randint(1, moment.most),
        choices.uniform(0, 2) if moment.name == "the engine began" else delay(choices),
        victims,
        alone,
        choices.uniform(0, LONGEST_PAUSE),
        points[3] if away else None,
        stays,
        again,
        answered,
    )


@dataclass
class Openings(Report):
    """What was done in openings, and how long each took."""

    moments: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def play_openings(custody: CustodyHouse, planned: list[Plan], report: Openings, remembered: Remembered) -> None:
    """Play openings, one a tick, while the institution is silent."""
    for plan in planned:
        if plan.breach:
            assert custody.house.falling(), "prices cannot fall any more"
        _play(custody, plan, report, remembered)


def _play(custody: CustodyHouse, plan: Plan, report: Openings, remembered: Remembered) -> None:
    kill = Killing(custody, plan.alone, report, remembered)
    run_id = custody.owe()
    number = int(run_id.rpartition(".")[2])
    if plan.away is not None:
        kill.now([plan.away], "before it was asked for")
    watching, began = Watching.of(custody), time.monotonic()
    request = custody.ask()
    if plan.moment.event is not None:
        # Told of the request where there is one, by custodians, and else of the run.
        wanted = {request, run_id}
        if not watching.wait(_tells(plan.moment.event, wanted), plan.nth, MOMENT_SECONDS):
            raise AssertionError(f"{run_id}: no '{plan.moment.name}' within {MOMENT_SECONDS} s")
    time.sleep(plan.after)
    killed = kill.now(plan.victims, f"{plan.after:.2f} s after {plan.nth}. '{plan.moment.name}'")
    report.moments.append(plan.moment.name)
    if plan.answered:
        _answered(custody, run_id, number)
    if not plan.stays:
        time.sleep(0 if plan.answered else plan.pause)
        start(killed)
    if plan.again is not None and not plan.stays:
        time.sleep(plan.again)
        start(kill.now([killed[0].point], f"again {plan.again:.2f} s later"))
    _until_over(custody, run_id, number, report)
    report.seconds.append(time.monotonic() - began)
    start([one for one in custody.custodians if one.process is None])
    remembered.look(custody.house.world.root)
    report.say(f"{run_id}: over {report.seconds[-1]:.0f} s after it was asked for")


def start(custodians: list[Custodian]) -> None:
    """Start custodians again from their folders."""
    for one in custodians:
        one.start()


@dataclass
class Killing:
    """Kills custodians, and looks at what they have stored while they are dead."""

    custody: CustodyHouse
    alone: bool
    report: Openings
    remembered: Remembered

    def now(self, points: Sequence[int], when: str) -> list[Custodian]:
        """Kill those that live; return them."""
        victims = [one for one in self.custody.custodians if one.point in points and one.process is not None]
        before = sum(len(one.orphans) for one in victims)
        for one in victims:
            if self.alone:
                one.kill_alone()
            else:
                one.kill_all()
        self.report.kills += len(victims)
        self.remembered.look(self.custody.house.world.root)
        names = " and ".join(one.name for one in victims)
        left = sum(len(one.orphans) for one in victims) - before
        engines = f", {left} of their engines left alive," if left else ""
        self.report.say(f"{NAME}.{self.custody.house.ticks[-1]}: {names} killed{engines} {when}")
        return victims


def _tells(event: str, wanted: set[str]) -> Callable[[dict[str, Any]], bool]:
    return lambda line: line.get("event") == event and bool(wanted & {str(line.get("request")), str(line.get("run"))})


def _answered(custody: CustodyHouse, run_id: str, number: int) -> None:
    """Have the institution come back and answer, and go silent again."""
    custody.house.agent.start()
    custody.house.wait_over(number, (RunState.COVERED, RunState.SETTLED))
    custody.house.agent.kill()


def _until_over(custody: CustodyHouse, run_id: str, number: int, report: Openings) -> None:
    """Wait until the opening is over. What lapsed is asked for again, and has to be opened then: all are there."""
    custody.eventually(lambda: custody.newest()[1], f"the opening of {run_id} is not over", GENEROUS_SECONDS)
    run = custody.house.run(number)
    assert run is not None
    if run.state is RunState.UNPROVEN:
        report.say(f"{run_id}: lapsed")
        start([one for one in custody.custodians if one.process is None])
        custody.ask()
        custody.eventually(lambda: custody.newest()[1], f"{run_id} is not opened again", GENEROUS_SECONDS)
    report.say(f"{run_id}: {custody.house.wait_over(number, (RunState.COVERED, RunState.SETTLED))}")


def lapse(custody: CustodyHouse, report: Openings, remembered: Remembered) -> list[Custodian]:
    """Play an opening that two custodians die in for good while engines compute; return them once it has lapsed."""
    run_id, watching = custody.owe(), Watching.of(custody)
    request = custody.ask()
    assert watching.wait(_tells("opening session begins", {request}), 1, MOMENT_SECONDS)
    dead = Killing(custody, False, report, remembered).now((1, 2), "while engines compute")
    custody.eventually(lambda: custody.newest()[1], f"the opening of {run_id} does not lapse", LAPSE_SECONDS)
    run = custody.house.run(custody.house.ticks[-1])
    assert run is not None
    assert run.state is RunState.UNPROVEN
    return dead


def undisturbed(custody: CustodyHouse) -> None:
    """Open a book with all custodians there, and nothing that happens to them."""
    run_id = custody.owe()
    custody.ask()
    custody.house.wait_over(int(run_id.rpartition(".")[2]), (RunState.COVERED, RunState.SETTLED))
    # Until every custodian has seen that it is over.
    custody.eventually(lambda: all(map(nothing_open, folders(custody.house.world.root))), f"{run_id} is open", 60)


def quiet(custody: CustodyHouse) -> None:
    """Wait until every engine that was left to itself has ended, and every custodian knows that all is over."""
    custody.eventually(
        lambda: not any(one.left() for one in custody.custodians), "an engine outlived its time", ORPHAN_SECONDS
    )
    custody.eventually(lambda: all(map(nothing_open, folders(custody.house.world.root))), "an opening goes on", 60)
