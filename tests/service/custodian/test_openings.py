"""Openings at a real operator, with an engine that a test answers for: stored, sent, proven, verified, signed."""

from collections.abc import Callable

import pytest

from .engines import truthful
from .played import DELAY, POINTS, Party, Scene

Open = Callable[[str], Scene]


def asked(scene: Scene) -> str:
    """Ask for the opening once it may be, with everything in a checkpoint that is cosigned now."""
    scene.publish()
    for point in POINTS:
        party = scene.party(point)
        party.reading.look()
        party.close()
    request = scene.ask()
    scene.clock.seconds += DELAY
    scene.publish()
    return request


def rounds(parties: list[Party], count: int = 3) -> None:
    for _ in range(count):
        for party in parties:
            party.openings.round()


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_an_opening_ends_the_run(scene_at: Open, stage: str, tick: int, state: str) -> None:
    scene = scene_at(stage)
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, tick)) for point in POINTS]
    rounds(parties)
    assert scene.world.run(f"larkfield.{tick}").state == state
    signed = [party.point for party in parties if (row := party.store.opening(request)) and row.verdict is not None]
    assert signed == [1, 2]
