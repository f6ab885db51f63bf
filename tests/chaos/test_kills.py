"""SIGKILL of operator and agent at random moments of ticks with and without calls: nothing lost, doubled or stuck."""

import pytest

from ..e2e.harness import World
from .house import open_house
from .moments import random_of
from .stories import Report, calm, play, verdict

KILLS = 15


def killed(world: World, story: str, kills: int) -> Report:
    choices, report = random_of(story), Report()
    with open_house(world) as house:
        calm(house)
        play(house, choices, kills, report)
        starts = house.operator.starts + house.agent.starts
        calm(house)
        judged = verdict(house)
        assert house.operator.starts + house.agent.starts == starts == 2 + report.kills
    seen = judged()
    assert len(seen.ticks) == len(house.ticks)
    assert report.kills == kills
    return report


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("story", ["kills-1", "kills-2"])
def test_operator_and_agent_are_killed_at_random_moments(plain_world: World, story: str) -> None:
    killed(plain_world, story, KILLS)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("number", range(10))
def test_operator_and_agent_are_killed_at_many_more_moments(plain_world: World, number: int) -> None:
    killed(plain_world, f"many-kills-{number}", 30)
