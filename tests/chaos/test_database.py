"""PostgreSQL dies and comes back under a running operator: at once, its first process alone, or one that serves it."""

import random

import pytest

from ..e2e.harness import World
from .database import database_of
from .house import House, open_house
from .moments import random_of
from .stories import Report, Victim, calm, parties, play, verdict

KILLS = 12

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def test_the_database_is_killed_at_random_moments_and_the_operator_with_it_now_and_then(plain_world: World) -> None:
    choices, report = random_of("database"), Report()
    with database_of(plain_world.root / "operator", choices) as database:

        def choose(house: House, choices: random.Random) -> list[Victim]:
            return [database] if choices.random() < 0.75 else [database, *parties(house, choices)]

        with open_house(plain_world, options=("--database", database.url)) as house:
            calm(house)
            play(house, choices, KILLS, report, choose)
            starts = house.operator.starts
            calm(house)
            judged = verdict(house, database.url)
            assert house.operator.starts == starts
        judged()
    assert report.kills == KILLS
