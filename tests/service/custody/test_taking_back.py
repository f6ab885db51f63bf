"""An operator that was restored from a backup of before an opening takes it back with the account's entries."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.service.institution.export import exported
from atomic_margin.service.operator.custody import openings
from atomic_margin.service.operator.taking_back import take_back
from atomic_margin.service.protocol.states import RunState

from ..documents import FUND
from ..rounds import in_step
from ..world import World
from .conftest import Custody, Later, Rooms
from .opening import Owed

pytestmark = pytest.mark.long

At = Callable[..., Custody]


def restore(owed: Owed, backup: Path) -> None:
    """Bring the operator's folder back from before the run, and take back what its institution has."""
    resident, custody = owed.custody.resident, owed.custody
    resident.agent.answer_due()
    number = 0
    before = owed.world
    before.close()
    shutil.rmtree(before.directory)
    shutil.copytree(backup, before.directory)
    world = World(before.directory, before.source, before.funds, before.rules, before.terms)
    world.custody = before.custody
    resident.world = resident.line.world = custody.world = owed.world = world
    custody.holders.at(world)
    with world.operator.store.reading():
        number = world.operator.account(FUND).entries
    take_back(world.operator, [exported(resident.folder, number)])


@pytest.mark.parametrize("outcome", ["covered", "breach"])
def test_what_custodians_found_is_taken_back(custody_at: At, later: Later, rooms: Rooms, outcome: str) -> None:
    owed = Owed(custody_at("dealt", proofs=True), later, 1 if outcome == "covered" else 2, sequence="1").asked()
    owed.in_session(1, 2, 5)
    finding = owed.covered() if outcome == "covered" else owed.breach()
    for point in (1, 2):
        assert owed.holders[point].bring(finding).status_code == 201
    before, ledger = owed.custody.resident.state, owed.world.ledger()
    restore(owed, rooms.root / "dealt" / "operator")
    assert owed.custody.resident.state == before
    assert owed.world.ledger() == ledger
    assert owed.world.run(owed.run_id).state is (RunState.COVERED if outcome == "covered" else RunState.SETTLED)
    assert in_step(owed.custody.resident)
    assert openings.sweep(owed.world.operator) == [owed.request]


def test_an_opening_that_is_open_goes_on_or_lapses(custody_at: At, later: Later, rooms: Rooms) -> None:
    owed = Owed(custody_at("dealt"), later, 1).asked()
    resident = owed.custody.resident
    resident.agent.history.sync()
    resident._patches.setattr(resident.agent, "answer_due", lambda: [])
    restore(owed, rooms.root / "dealt" / "operator")
    assert [one["request"]["type"] for one in owed.holders[1].got("/openings")["openings"]] == ["opening-request"]
    assert owed.in_session(1, 2, 5)["session"]["number"] == "1"
