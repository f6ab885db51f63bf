"""An operator waits for prices before it asks, to choose at which of two ticks a silent account is opened."""

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from atomic_margin.service.custodian.errors import RunOld
from atomic_margin.service.operator.custody import asking
from atomic_margin.service.operator.store.market_chain import oldest_market
from atomic_margin.service.protocol.opening_times import LONGEST_ANSWER_SECONDS, behind_at_most

from ..documents import FUND
from .played import DELAY, Party, Scene, owe
from .test_judging import judged

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
MOST = 900 + 1800


@pytest.fixture
def scene(scene_at: Open) -> Scene:
    """A run at tick 1 is owed, and the policy's time is over."""
    scene = scene_at("owed-calm")
    seen(scene)
    scene.clock.seconds += DELAY
    return scene


def seen(scene: Scene, point: int = 2) -> None:
    """Have everything in a cosigned checkpoint, which a custodian sees."""
    scene.publish()
    party = scene.party(point)
    party.reading.look()
    party.close()


def asked_after(scene: Scene, seconds: int) -> Party:
    """Ask so long after what was last seen."""
    scene.clock.seconds += seconds
    scene.ask()
    scene.publish()
    return scene.party(2)


def test_a_run_is_not_opened_once_a_later_tick_was_long_known(scene: Scene) -> None:
    """The operator begins no run at tick 2: it looks whether that is worse for the account first."""
    scene.world.tick(2)
    seen(scene)
    party = asked_after(scene, MOST + 1)
    with pytest.raises(RunOld, match=f"tick 2 was in a cosigned checkpoint {MOST + 1} s before"):
        judged(party)


def test_the_time_to_answer_and_to_evaluate_is_not_too_long(scene: Scene) -> None:
    scene.world.tick(2)
    seen(scene)
    assert judged(asked_after(scene, MOST)).body.run_id == f"{FUND}.1"


def test_a_tick_that_comes_after_the_request_changes_nothing(scene: Scene) -> None:
    """No run begins while an opening is open, however long it takes."""
    party = asked_after(scene, 0)
    assert judged(party).body.run_id == f"{FUND}.1"
    scene.world.tick(2)
    for _ in range(2):
        scene.clock.seconds += MOST
        scene.publish()
        assert judged(party).body.run_id == f"{FUND}.1"


def test_the_run_at_the_newest_tick_is_opened_however_old_the_debt_is(scene: Scene) -> None:
    owe(scene, 2)
    seen(scene)
    assert judged(asked_after(scene, 10 * MOST)).body.run_id == f"{FUND}.2"


def test_who_was_away_when_the_tick_came_cannot_say_how_long_it_was_known(scene: Scene) -> None:
    scene.world.tick(2)
    assert judged(asked_after(scene, 10 * MOST)).body.run_id == f"{FUND}.1"


def test_of_a_long_time_to_answer_a_day_counts() -> None:
    assert behind_at_most(LONGEST_ANSWER_SECONDS + 5) == behind_at_most(LONGEST_ANSWER_SECONDS) == MOST + 85_500


def test_the_operator_does_not_ask_where_custodians_would_refuse(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes before they would; and not for the run at the newest tick."""
    world = scene.world
    world.tick(2)
    with world.operator.store.reading() as session:
        tick = oldest_market(session, 1)
        assert oldest_market(session, 2) is None
    assert tick is not None
    came = int(datetime.fromisoformat(tick.received_at.replace("Z", "+00:00")).timestamp())
    moment = came + MOST - 2 * asking.LOOK_SECONDS
    # The time of the policy is another matter.
    monkeypatch.setattr(asking, "require_late", lambda *_: None)
    monkeypatch.setattr(asking, "now", lambda: datetime.fromtimestamp(moment, timezone.utc))
    asking.require_new(world.operator, FUND)
    moment += 1
    entries = world.operator.account(FUND).entries
    refused = world.client.post("/v1/openings", json={"institution": FUND}, headers=world.admin)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:atomic-margin:problem:run-old")
    assert "tick 2 came at" in refused.json()["detail"]
    assert world.operator.account(FUND).entries == entries
    owe(scene, 3)
    asking.require_new(world.operator, FUND)
