"""One opening from end to end at a real operator, with an engine that a test answers for."""

from collections.abc import Callable

from .engines import truthful
from .played import DELAY, POINTS, Scene


def test_a_book_that_is_covered_ends_the_run_without_the_institution(scene_at: Callable[[str], Scene]) -> None:
    scene = scene_at("owed-calm")
    scene.publish()
    parties = [scene.party(point, truthful(scene, 1)) for point in POINTS]
    for party in parties:
        party.reading.look()
    request = scene.ask()
    scene.clock.seconds += DELAY
    scene.publish()
    for _ in range(2):
        for party in parties:
            party.openings.round()
    assert scene.world.run("larkfield.1").state == "covered"
    found = [party.store.opening(request) for party in parties]
    assert [one.verdict is not None for one in found if one is not None] == [True, True, False, False]
