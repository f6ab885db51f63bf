"""A custodian whose folder is of an older backup: what it forgot, and what anybody could do with that."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.custodian.engine.errors import EngineStalled
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.custodian.openings import PATIENCE_SECONDS
from atomic_margin.service.operator.custody import standings
from atomic_margin.service.operator.store.custody_tables import OpeningRow
from atomic_margin.service.protocol.custodian_messages import Openings
from atomic_margin.service.protocol.signing import Identity

from ..documents import FUND
from .engines import rows, saying, truthful
from .played import LISTENS, POINTS, Party, Scene
from .test_openings import asked, counting, rounds, row

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
CLOSER, POINT = 1, 2


class Backup:
    """The folder of one custodian, kept and put back."""

    def __init__(self, scene: Scene, directory: Path, point: int = POINT) -> None:
        self._scene, self._kept, self._point = scene, directory, point
        self._own = scene.folder / f"custodian-{point}"
        shutil.copytree(self._own, directory)

    def restored(self, engine: Any = None) -> Party:
        shutil.rmtree(self._own)
        shutil.copytree(self._kept, self._own)
        return self._scene.party(self._point, engine)


def shown_again(scene: Scene, monkeypatch: pytest.MonkeyPatch, party: Party, request: str) -> None:
    """Have the operator show an opening that is over as if it were open."""
    again = standings.standing(scene.world.operator, request)
    monkeypatch.setattr(party.client, "openings", lambda: Openings(openings=(again,)))


@pytest.mark.parametrize("stage", ["owed-calm", "owed-fall"])
def test_what_is_over_is_not_opened_again(scene_at: Open, tmp_path: Path, monkeypatch: Any, stage: str) -> None:
    """The operator shows the request of before to one that does not know what it found; the log knows it."""
    scene = scene_at(stage)
    backup, request = Backup(scene, tmp_path / "backup"), asked(scene)
    tick = {"owed-calm": 1, "owed-fall": 2}[stage]
    parties = [scene.party(point, truthful(scene, tick)) for point in POINTS]
    rounds(parties)
    assert scene.world.run(f"{FUND}.{tick}").state in ("covered", "settled")
    for party in parties:
        party.close()
    scene.publish()
    party = backup.restored()
    assert party.store.opening(request) is None
    shown_again(scene, monkeypatch, party, request)
    party.openings.round()
    assert row(party, request).state == "refused"
    assert row(party, request).reason.startswith("OpeningOver")


def test_a_history_of_then_is_shorter_than_the_log(scene_at: Open, tmp_path: Path, monkeypatch: Any) -> None:
    """The operator shows the history of before too. The log has more entries of the account."""
    scene = scene_at("owed-calm")
    backup, request = Backup(scene, tmp_path / "backup"), asked(scene)
    parties = [scene.party(point, truthful(scene, 1)) for point in POINTS]
    rounds(parties, 1)
    before = parties[0].client.history(FUND)
    rounds(parties, 2)
    assert scene.world.run(f"{FUND}.1").state == "covered"
    for party in parties:
        party.close()
    scene.publish()
    party = backup.restored()
    shown_again(scene, monkeypatch, party, request)
    monkeypatch.setattr(party.client, "history", lambda institution: before)
    party.openings.round()
    assert row(party, request).reason.startswith("HistoryOlder")


def test_a_checkpoint_of_then_is_too_old(scene_at: Open, tmp_path: Path, monkeypatch: Any) -> None:
    """The operator shows log and history of before. Witnesses signed that long ago, by the custodian's clock."""
    scene = scene_at("owed-calm")
    backup, request = Backup(scene, tmp_path / "backup"), asked(scene)
    parties = [scene.party(point, truthful(scene, 1)) for point in POINTS]
    rounds(parties, 1)
    before = parties[0].client.history(FUND)
    rounds(parties, 2)
    assert scene.world.run(f"{FUND}.1").state == "covered"
    for party in parties:
        party.close()
    # The newest checkpoint that is shown is of before, and a minute is over.
    scene.clock.seconds += 61
    party = backup.restored()
    shown_again(scene, monkeypatch, party, request)
    monkeypatch.setattr(party.client, "history", lambda institution: before)
    party.openings.round()
    assert party.store.opening(request) is None
    scene.clock.seconds += PATIENCE_SECONDS
    party.openings.round()
    assert row(party, request).reason.startswith("CheckpointRefused: TooFewWitnesses")


def forgotten(scene: Scene, directory: Path, point: int, engine: Any) -> None:
    """All three have computed and stored what they found, and signed nothing; one goes back to before."""
    backup = Backup(scene, directory, point)
    parties = [scene.party(one, engine) for one in (CLOSER, POINT, 5)]
    for party in parties:
        party.openings._close = lambda *_: None  # type: ignore[method-assign]
    rounds(parties, 2)
    assert all(party.store.found(scene.world.run(party_run(scene)).record_hash) for party in parties)
    for party in parties:
        party.close()
    # It begins the session anew, and nobody else is in it any more.
    party = backup.restored(stalls)
    party.openings.round()
    assert party.store.found(scene.world.run(party_run(scene)).record_hash) is None
    party.close()


def party_run(scene: Scene) -> str:
    run = scene.world.account().public.run
    assert run is not None
    return run.run_id


@pytest.mark.parametrize("point", [CLOSER, POINT])
@pytest.mark.parametrize("tick", [1, 2])
def test_who_forgot_what_it_found_is_led_to_nothing_else(scene_at: Open, tmp_path: Path, tick: int, point: int) -> None:
    """Without the closer's memory it is computed anew, and says the same; without another's, the rest bring it."""
    scene = scene_at("owed-calm" if tick == 1 else "owed-fall")
    asked(scene)
    run_id, calls = party_run(scene), list[EngineTask]()
    forgotten(scene, tmp_path / "backup", point, truthful(scene, tick))
    parties = [scene.party(one, counting(truthful(scene, tick), calls)) for one in (CLOSER, POINT, 5)]
    rounds(parties, 2)
    later(scene)
    rounds(parties, 6)
    run = scene.world.run(run_id)
    assert run.state == ("covered" if tick == 1 else "settled")
    assert len({party.store.found(run.record_hash) for party in parties} - {None}) == 1
    assert len({task.hash for task in calls}) == (1 if point == CLOSER else 0)
    kinds = [str(entry.body["kind"]) for entry, _ in scene.world.entries()]
    assert [kind for kind in kinds if kind.startswith("opened")] == [
        f"opened {'covered' if tick == 1 else 'in breach'}"
    ]


def later(scene: Scene) -> None:
    """The time of the session that nothing comes of is over."""
    scene.clock.seconds += LISTENS.seconds + LISTENS.closing_seconds + 1
    scene.publish()


def stalls(task: EngineTask, identity: Identity) -> Verdict:
    raise EngineStalled("nobody else is in this session any more", [1, 5])


def test_who_forgot_and_one_who_deviates_lead_nobody_to_another_row(scene_at: Open, tmp_path: Path) -> None:
    """The closer went back, and somebody deviates in the second computation: who remembers sends what was found first.

    The one that forgot has another row, so nothing comes of that session, and the fourth ends it with those who know.
    """
    scene = scene_at("owed-fall")
    request, run = asked(scene), scene.world.run(f"{FUND}.2").record_hash
    forgotten(scene, tmp_path / "backup", CLOSER, truthful(scene, 2))
    least = rows(scene, "maintenance", 2)
    invented = Verdict(True, 0, 0)
    assert least[0] != min(least)
    parties = [scene.party(point, saying(invented)) for point in (CLOSER, POINT, 5)]
    rounds(parties, 2)
    later(scene)
    rounds(parties, 3)
    said = [found.maintenance_row for party in parties if (found := party.store.found(run)) is not None]
    assert said == [0, least.index(min(least)), least.index(min(least))]
    assert [party.store.voided(run) for party in parties] == [[], [], []]
    assert row(parties[0], request).reason.startswith("RowsUnsigned")
    with scene.world.operator.store.reading() as session:
        assert session.query(OpeningRow).one().finding is None
    for party in parties:
        party.close()
    parties = [scene.party(point, truthful(scene, 2)) for point in POINTS]
    for _ in range(4):
        rounds(parties, 4)
        later(scene)
    assert scene.world.run(f"{FUND}.2").state == "settled"
    signed = [party.point for party in parties if row(party, request).verdict is not None]
    assert len(signed) == 2
    assert CLOSER not in signed


def test_who_lost_its_shares_is_missed_by_nobody(scene_at: Open, tmp_path: Path) -> None:
    """The backup is of before the deal: it says what it lacks, and the other three open the book."""
    scene = scene_at("owed-calm")
    request = asked(scene)
    party = scene.party(POINT)
    party.store.erase([one.deal for one in party.store.deals()])
    party.openings.round()
    assert row(party, request).reason.startswith("RequestInvalid: no shares of deal")
    rounds([scene.party(point, truthful(scene, 1)) for point in (1, 5, 9)])
    assert scene.world.run(f"{FUND}.1").state == "covered"
