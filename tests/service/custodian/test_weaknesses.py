"""Games about openings by more than one run or session. A mark says what is weak; whoever mends it takes it away."""

from collections.abc import Callable

import pytest

from atomic_margin.service.custodian.engine.errors import EngineStalled
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.custodian.openings import AFTER_ENGINE_SECONDS
from atomic_margin.service.protocol.signing import Identity

from ..documents import FUND
from .engines import truthful
from .played import DELAY, LISTENS, POINTS, Scene, owe
from .test_judging import asked as asked_late
from .test_judging import judged
from .test_openings import asked, counting, rounds

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
SESSIONS = 6
"""In one opening of four custodians of whom three compute: each set of three once, and some that time ran out of."""


def test_who_is_silent_from_tick_to_tick_is_opened(scene_at: Open) -> None:
    """Every tick has a run, also of a frozen account, and ticks come more often than the policy's time is long."""
    scene = scene_at("owed-calm")
    scene.publish()
    party = scene.party(2)
    party.reading.look()
    party.close()
    scene.clock.seconds += DELAY
    owe(scene, 2)
    assert judged(asked_late(scene, 0).party(2)).body.run_id == f"{FUND}.2"


def test_one_opening_is_a_few_computations(scene_at: Open) -> None:
    """Each is one try for a custodian that deviates, and tells it something, whatever is sent afterwards."""
    scene = scene_at("owed-calm")
    asked(scene)
    calls: list[EngineTask] = []

    def deviating(task: EngineTask, identity: Identity) -> Verdict:
        raise EngineStalled("a peer ended once it knew", [1])

    engines = {2: counting(deviating, calls)}
    parties = [scene.party(point, engines.get(point, deviating)) for point in POINTS]
    rounds(parties, 24)
    assert len({task.hash for task in calls}) <= SESSIONS


@pytest.mark.xfail(strict=True, reason="an invented breach is kept as what was found of the run")
def test_a_breach_that_was_invented_once_does_not_keep_others_from_the_truth(scene_at: Open) -> None:
    """Custodian 1 invents a breach in its first session; the closer sees that the row is not negative. Then it is out.

    The other three are honest, and as many as it takes.
    """
    scene = scene_at("owed-calm")
    asked(scene)
    truth = truthful(scene, 1)

    def deceived(task: EngineTask, identity: Identity) -> Verdict:
        return Verdict(True, 0, 0) if any(one.point == 1 for one in task.present) else truth(task, identity)

    parties = [scene.party(point, deceived) for point in POINTS]
    for _ in range(SESSIONS):
        rounds(parties)
        scene.clock.seconds += LISTENS.seconds + AFTER_ENGINE_SECONDS + 1
        scene.publish()
    assert scene.world.run(f"{FUND}.1").state == "covered"
