"""From when an opening may be asked for: never so early that a custodian which runs refuses."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.service.operator.custody import asking
from atomic_margin.service.operator.store.tables import CosignedRow, EntryRow
from atomic_margin.service.protocol.account.events import EventKind

from ..custodian.conftest import scene_at as scene_at
from ..custodian.conftest import story as story
from ..custodian.played import DELAY, Scene, owe
from ..custodian.test_judging import judged
from ..documents import FUND
from ..test_cli_operator import serving

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
LATE = DELAY + asking.LOOK_SECONDS


@pytest.fixture
def scene(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A book that is owed, and an operator whose clock is that of the custodians."""
    scene = scene_at("owed-calm")
    monkeypatch.setattr(asking, "now", lambda: at(scene.clock.seconds))
    return scene


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def ask(scene: Scene) -> Any:
    world = scene.world
    return world.client.post("/v1/openings", json={"institution": FUND}, headers=world.admin)


def not_before(scene: Scene) -> str:
    response = ask(scene)
    assert (response.status_code, response.json()["type"]) == (409, "urn:atomic-margin:problem:opening-too-early")
    found: str = response.json()["not_before"]
    assert found in response.json()["detail"]
    return found


def overdue(scene: Scene) -> EntryRow:
    with scene.world.operator.store.reading() as session:
        query = select(EntryRow).where(EntryRow.kind == str(EventKind.ANSWER_OVERDUE)).order_by(EntryRow.number)
        return session.scalars(query).all()[0]


def test_asked_too_early_nothing_is_entered_and_no_opening_is_used_up(scene: Scene) -> None:
    scene.publish()
    entries, published = scene.world.operator.account(FUND).entries, scene.clock.seconds
    for seconds in (0, DELAY, LATE - 1):
        scene.clock.seconds = published + seconds
        assert not_before(scene) == instant_text(at(published + LATE))
    assert scene.world.operator.account(FUND).entries == entries
    scene.clock.seconds = published + LATE
    assert ask(scene).status_code == 201


def test_a_custodian_that_looked_a_minute_late_takes_part_when_it_may_be_asked(scene: Scene) -> None:
    scene.publish()
    published = scene.clock.seconds
    scene.clock.seconds += asking.LOOK_SECONDS
    scene.publish()
    party = scene.party(2)
    party.reading.look()
    scene.clock.seconds = published + LATE
    assert ask(scene).status_code == 201
    scene.publish()
    assert judged(party).body.run_id == f"{FUND}.1"


def test_before_witnesses_cosigned_the_entry_no_time_is_known(scene: Scene) -> None:
    assert not_before(scene) == instant_text(at(scene.clock.seconds + LATE))
    scene.clock.seconds += 10 * LATE
    assert "no checkpoint with enough cosignatures" in ask(scene).json()["detail"]


def test_who_is_silent_from_tick_to_tick_is_owed_since_the_first(scene: Scene) -> None:
    scene.publish()
    published = scene.clock.seconds
    owe(scene, 2)
    scene.publish()
    assert not_before(scene) == instant_text(at(published + LATE))


def test_of_an_entry_from_long_ago_the_first_checkpoint_is_not_wanted(scene: Scene) -> None:
    """Checkpoints are stored for a day or so, and a policy may have a book opened after thirty."""
    scene.clock.seconds += 50_000
    scene.publish()
    scene.clock.seconds += 1000
    scene.publish()
    assert not_before(scene) == instant_text(at(scene.clock.seconds - 1000 + LATE))
    with scene.world.operator.store.unit_of_work() as session:
        newest = session.scalar(select(func.max(CosignedRow.id)))
        session.execute(delete(CosignedRow).where(CosignedRow.id < newest))
    entered = instant(overdue(scene).entry["body"]["entered_at"])
    assert ask(scene).status_code == 201
    assert entered + timedelta(seconds=60 + LATE) < at(scene.clock.seconds)


def test_without_witnesses_the_entry_s_own_date_counts(scene: Scene) -> None:
    operator = scene.world.operator
    operator.settings = replace(operator.settings, witnesses=(), threshold=None)
    entered = instant(overdue(scene).entry["body"]["entered_at"])
    scene.clock.seconds = int(entered.timestamp()) + LATE - 1
    assert not_before(scene) == instant_text(entered + timedelta(seconds=LATE))
    scene.clock.seconds += 1
    assert ask(scene).status_code == 201


def test_the_command_says_from_when_to_ask(scene: Scene) -> None:
    scene.publish()
    with serving(scene.world) as office:
        refused = office.call("open", FUND)
        assert refused.exit_code == 1
        assert f'"not_before": "{instant_text(at(scene.clock.seconds + LATE))}"' in refused.output
        assert office.printed("openings", "--json")["openings"] == []


def test_of_an_account_that_owes_nothing_the_request_says_what_is_wrong(scene_at: Open) -> None:
    response = ask(scene_at("submitted"))
    assert "no run is owed" in response.json()["detail"]
