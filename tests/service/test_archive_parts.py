"""An archive begins and ends wherever a period does: what its documents rest on goes along, and it verifies."""

import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.institution import answers, gains, submissions
from atomic_margin.service.operator.accounts import enrolment, halts
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.protocol import verification
from atomic_margin.service.verifier import archived_documents

from .documents import FUND
from .test_archive import cut, verified
from .world import World

Open = Callable[[str], World]


@pytest.fixture
def unproven() -> Iterator[None]:
    """Nobody makes proofs and nobody verifies them: what rests on what is all that is left."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (answers, gains, submissions):
            for name in [name for name in vars(module) if name.startswith("prove_")]:
                patched.setattr(module, name, lambda *_, **__: bytes(1))
        for name in ("verify_portfolio", "verify_encryption", "verify_sufficiency", "require_proven"):
            patched.setattr(verification, name, lambda *_, **__: None)
        patched.setattr(archived_documents, "verify_batch", lambda *_, **__: None)
        yield


def rotated(world: World) -> None:
    """Change the keys, and submit the same book under the new ones."""
    keys = world.funds[FUND].keys() + b"2"
    world.start_enrolment(FUND, keys, 2)
    enrolment.confirm(world.operator, FUND, world.confirmation(FUND, keys).to_json())
    world.submit(FUND, world.funds[FUND].sent[1].values)


def played(world: World) -> World:
    """Give an account whose book is in force a history: covered, other keys, a late answer, a halt, and its end."""
    world.answer(world.play(1))
    rotated(world)
    world.answer(world.play(2, sequence="2", as_of="2026-11-20T09:00:00Z"))
    run_id = world.play(1, sequence="3", as_of="2026-11-20T10:00:00Z")
    moment = datetime.now(timezone.utc) + timedelta(seconds=1000)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "now", lambda: moment)
        patched.setattr(runs, "now_text", lambda: instant_text(moment))
        runs.sweep_deadlines(world.operator)
    world.deposit(FUND, "USDC", 5, "meanwhile")
    world.answer(run_id)
    run_id = world.play(4, sequence="4", as_of="2026-11-21T08:00:00Z")
    halts.halt(world.operator, "while a run is open", scope=("leaving",), ticks=2)
    halts.resume(world.operator, "go on")
    world.answer(run_id)
    world.deposit(FUND, "USDC", 5, "after the end")
    return world


@pytest.mark.long
def test_it_verifies_wherever_it_begins_and_ends(world_at: Open, unproven: None, tmp_path: Path) -> None:
    world = played(world_at("submitted"))
    kinds = [stored.entry.body["kind"] for stored in world.entries()]
    last = len(kinds)
    assert {"answer overdue", "margin called", "liquidated", "resumed", "covered"} <= {*kinds}
    begun = {}
    for first in range(1, last + 1):
        found = verified(cut(world, tmp_path / "a.zip", first), world.trust())
        assert found.account == world.account()
        begun[first] = found.manifest.first
    for end in range(1, last):
        found = verified(cut(world, tmp_path / "a.zip", 1, end), world.trust())
        assert (found.manifest.first, found.manifest.last) == (1, end)
    # It reaches back to the record of the run that is open or owed, and no further than it must.
    opened = {"run recorded": 0, "covered": 1, "margin called": 1, "liquidated": 1}
    reached, record = {}, 0
    for number, kind in enumerate(kinds, 1):
        reached[number] = record or number
        record = {0: number, 1: 0}.get(opened.get(kind, -1), record)
    assert begun == reached
    assert any(at != first for first, at in begun.items())


def test_it_begins_with_the_record_of_the_run_that_is_open(world_at: Open, tmp_path: Path) -> None:
    """With real proofs: at a run's answer, at its settlement, and at the end."""
    world = world_at("crash-done")
    kinds = [stored.entry.body["kind"] for stored in world.entries()]
    for kind in ("breach proven", "margin called", "liquidated"):
        first = kinds.index(kind) + 1
        found = verified(cut(world, tmp_path / "a.zip", first), world.trust())
        assert found.account == world.account()
        assert kinds[found.manifest.first - 1] == "run recorded"
        assert "run recorded" not in kinds[found.manifest.first : first]


def test_it_begins_after_new_keys(world_at: Open, tmp_path: Path) -> None:
    """With real proofs: the book that a gain is compared with is under the keys from before."""
    world = world_at("calm-done")
    rotated(world)
    world.answer(world.play(2))
    world.deposit(FUND, "USDC", 5, "later")
    kinds = [stored.entry.body["kind"] for stored in world.entries()]
    first = max(number for number, kind in enumerate(kinds, 1) if kind == "keys confirmed") + 1
    assert kinds[first - 1] == "submitted"
    # With the book before in force, and after it: then the new one alone is named, and that one by it.
    for begins in (first, len(kinds)):
        path = cut(world, tmp_path / "a.zip", begins)
        assert verified(path, world.trust()).account == world.account()
        with zipfile.ZipFile(path) as file:
            assert file.read("earlier.jsonl").count(b'"type":"enrolment"') == 2
