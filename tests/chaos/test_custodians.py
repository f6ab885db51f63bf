"""SIGKILL of custodians at random moments of openings: each ends opened once or not at all, and the account goes on.

An institution is silent, and its book is opened tick after tick by four custodians, of whom three compute and one may
be away. They are killed before anyone takes part, while engines compute, around what is found, signed and entered: one,
several, more than may be away, one for all of an opening; with their engines, or without. They are only started again.
"""

import pytest

from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.states import AccountState, RunState

from ..e2e.harness import World
from .custody import open_custody
from .judge import Seen, judge
from .judge_openings import Remembered, ends, judge_openings
from .kills_of_custodians import MOMENTS, Openings, lapse, plans, play_openings, quiet, start, undisturbed
from .moments import random_of
from .stories import calm, ended

pytest.importorskip("mpyc")

OPENINGS, BREACHES = 10, 3
"""Of a story; three stories are thirty openings."""


def killed(world: World, story: str, openings: int, breaches: int) -> tuple[Openings, Seen]:
    choices, report, remembered = random_of(story), Openings(), Remembered()
    planned = plans(choices, openings, breaches)
    with open_custody(world) as custody:
        house = custody.house
        calm(house)
        house.agent.kill()
        play_openings(custody, planned, report, remembered)
        undisturbed(custody)
        quiet(custody)
        # Everybody was started once, and again after each kill; nobody did anything else.
        assert sum(one.starts for one in custody.custodians) == len(custody.custodians) + report.kills
        assert house.operator.starts == 1
        house.agent.start()
        calm(house)
        seen = ended(house)
    wrong = judge(world.root, seen)
    wrong += judge_openings(world.root, seen, custody.markets, remembered, custody.asked)
    assert wrong == [], "\n".join(wrong)
    found = ends(seen)
    report.say(f"{story}: {found}, {report.kills} kills, {sum(report.seconds):.0f} s in openings")
    assert len(report.moments) == openings
    assert found["opened"] + found["answered"] == openings + 1
    assert sum(kind is EventKind.OPENED_IN_BREACH for kinds in seen.of_runs().values() for kind in kinds) > 0
    return report, seen


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_custodians_are_killed_at_random_moments_of_openings(custody_world: World) -> None:
    report, _ = killed(custody_world, "custodians-1", 6, 2)
    assert {*report.moments} == {moment.name for moment in MOMENTS}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(3))
def test_custodians_are_killed_in_thirty_openings(custody_world: World, number: int) -> None:
    killed(custody_world, f"thirty-openings-{number}", OPENINGS, BREACHES)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_opening_that_too_few_live_for_lapses_and_a_later_one_of_the_run_is_found(custody_world: World) -> None:
    report, remembered = Openings(), Remembered()
    with open_custody(custody_world) as custody:
        house = custody.house
        calm(house)
        house.agent.kill()
        house.falling()
        start(lapse(custody, report, remembered))
        custody.ask()
        house.wait_over(house.ticks[-1], (RunState.SETTLED,))
        undisturbed(custody)
        house.agent.start()
        calm(house)
        seen = ended(house)
    wrong = judge(custody_world.root, seen)
    wrong += judge_openings(custody_world.root, seen, custody.markets, remembered, custody.asked)
    assert wrong == [], "\n".join(wrong)
    assert ends(seen) == {"opened": 2, "lapsed": 1, "answered": 0}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_custodians_are_killed_when_a_book_is_liquidated(custody_world: World) -> None:
    choices, report, remembered = random_of("liquidated"), Openings(), Remembered()
    with open_custody(custody_world, free="1") as custody:
        house = custody.house
        calm(house)
        house.agent.kill()
        # More than there is free, and no more than prices may move at once.
        assert house.falling()
        assert house.falling()
        play_openings(custody, plans(choices, 1, 0), report, remembered)
        quiet(custody)
        house.agent.start()
        seen = ended(house)
    kinds = seen.of_runs()[next(iter(custody.markets))]
    assert [*map(str, kinds[-2:])] == ["opened in breach", "liquidated"]
    wrong = judge(custody_world.root, seen, state=AccountState.IN_DEFAULT)
    wrong += judge_openings(custody_world.root, seen, custody.markets, remembered, custody.asked)
    assert wrong == [], "\n".join(wrong)
