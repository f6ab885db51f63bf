"""Games about openings by more than one run or session. A mark says what is weak; whoever mends it takes it away."""

from collections.abc import Callable

import pytest

from atomic_margin.service.custodian.engine.errors import EngineStalled
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.custodian.erasing import DAY_SECONDS, Erasing
from atomic_margin.service.operator.store import entries, log
from atomic_margin.service.protocol.account.entries import Chain, Entry, Salts, extended
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.released import release
from atomic_margin.service.protocol.signing import Identity, SignedDocument

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
        scene.clock.seconds += LISTENS.seconds + LISTENS.closing_seconds + 1
        scene.publish()
    assert scene.world.run(f"{FUND}.1").state == "covered"


def test_nothing_is_erased_by_a_second_account_without_a_book(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator admits the institution once more, beside the account with its book, and shows that one."""
    scene = scene_at("submitted")
    party, operator = scene.party(2), scene.world.operator
    scene.clock.seconds += 100 * DAY_SECONDS
    scene.publish()
    # What this custodian read before is no help either.
    assert party.reading.account(FUND, party.reading.look()).state.book is not None
    first = party.client.history(FUND)["entries"][0]
    admission, entered = SignedDocument.parse(first["document"]), Entry.parse(first["entry"]["body"])
    with operator.store.unit_of_work() as session:
        at, salts = entries.newest(session), Salts("1a" * 32)
        _, entry = extended(Chain(), admission, at, salts, entered.log, operator.identity, entered.entered_at)
        log.append(session, entry_leaf(entry).to_bytes())
    scene.publish()
    shown = release([(entry, admission)], salts, scene.world.key)
    monkeypatch.setattr(party.client, "history", lambda institution: shown)
    monkeypatch.setattr(party.client, "has", lambda deal: False)
    assert Erasing(party.own, party.client, party.reading, 7).erase() == []
