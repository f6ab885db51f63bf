"""What judges openings notices every kind of wrong that they could end in, and nothing where there is none."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.signing import SignedDocument

from ..e2e.harness import World
from .custody import copied, open_custody
from .judge import Seen, judge
from .judge_openings import Remembered, ends, judge_openings
from .kills_of_custodians import undisturbed
from .stories import calm, ended

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
pytest.importorskip("mpyc")


@dataclass(frozen=True)
class Played:
    """A house that was left in peace, stopped, and what was seen of it."""

    root: Path
    seen: Seen
    markets: Mapping[str, dict[str, Any]]
    asked: int

    def wrong(self, root: Path, remembered: Remembered | None = None) -> list[str]:
        return judge_openings(root, self.seen, self.markets, remembered or Remembered(), self.asked)

    def where(self, kind: EventKind) -> int:
        return next(at for at, (entry, _) in enumerate(self.seen.entries) if entry.body["kind"] == str(kind))

    def told(self, *entries: tuple[SignedDocument, SignedDocument]) -> "Played":
        return replace(self, seen=Seen(entries, self.seen.ticks))

    def without(self, kind: EventKind) -> "Played":
        at = self.where(kind)
        return self.told(*self.seen.entries[:at], *self.seen.entries[at + 1 :])

    def twice(self, kind: EventKind) -> "Played":
        at = self.where(kind)
        return self.told(*self.seen.entries[: at + 1], *self.seen.entries[at:])

    def saying(self, kind: EventKind, **changes: Any) -> "Played":
        at = self.where(kind)
        entry, document = self.seen.entries[at]
        other = SignedDocument.parse({**document.to_json(), "body": {**document.body, **changes}})
        return self.told(*self.seen.entries[:at], (entry, other), *self.seen.entries[at + 1 :])


@pytest.fixture(scope="module")
def played(dealt: World, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A covered run and one in breach, each opened by custodians, with nobody killed but the institution's agent."""
    world = copied(dealt, tmp_path_factory.mktemp("peace"))
    with open_custody(world) as custody:
        calm(custody.house)
        custody.house.agent.kill()
        undisturbed(custody)
        custody.house.falling()
        undisturbed(custody)
        custody.house.agent.start()
        calm(custody.house)
        seen = ended(custody.house)
    return Played(world.root, seen, custody.markets, custody.asked)


@pytest.fixture
def root(played: Played, tmp_path: Path) -> Path:
    return shutil.copytree(played.root, tmp_path / "copy")


def test_a_house_that_was_left_in_peace_has_nothing_wrong(played: Played, root: Path) -> None:
    assert judge(root, played.seen) == []
    assert played.wrong(root) == []
    assert ends(played.seen) == {"opened": 2, "lapsed": 0, "answered": 0}


COVERED, BREACH, ASKED = EventKind.OPENED_COVERED, EventKind.OPENED_IN_BREACH, EventKind.OPENING_REQUESTED

HISTORIES: dict[str, tuple[Callable[[Played], Played], str]] = {
    "opened twice": (lambda one: one.twice(BREACH), "was opened more than once"),
    "asked for twice at once": (lambda one: one.twice(ASKED), "and the one before is not over"),
    "asked for more often than by anybody": (lambda one: one.twice(ASKED), "openings were asked for, and entries have"),
    "never over": (lambda one: one.without(BREACH), "is not over"),
    "opened by nobody's wish": (lambda one: one.without(ASKED), "of an opening that is not open"),
    "of another request": (lambda one: one.saying(COVERED, request="ab" * 32), "of an opening that is not open"),
    "of a run that was not owed": (lambda one: one.saying(COVERED, run="ab" * 32), "is of no run that was owed"),
    "another row": (lambda one: one.saying(BREACH, initial_row="3000"), "and the book says"),
    "another top-up": (lambda one: one.saying(BREACH, top_up_usd="123"), "and the book says"),
    "another top-up than is settled": (lambda one: one.saying(BREACH, top_up_usd="123"), "is settled by"),
    "signed by one": (
        lambda one: one.saying(COVERED, verdicts=one.seen.entries[one.where(COVERED)][1].body["verdicts"][:1]),
        "is signed by 1",
    ),
    "a breach that is none": (
        lambda one: replace(one, markets=dict.fromkeys(one.markets, next(iter(one.markets.values())))),
        "and the book says Truth(breach=False",
    ),
}


@pytest.mark.parametrize("history", HISTORIES)
def test_another_history_is_noticed(played: Played, root: Path, history: str) -> None:
    change, told = HISTORIES[history]
    wrong = change(played).wrong(root)
    assert any(told in one for one in wrong), wrong


@pytest.mark.parametrize("kind", [COVERED, BREACH, EventKind.MARGIN_CALLED])
def test_what_the_house_is_judged_by_notices_that_an_entry_comes_twice(
    played: Played, root: Path, kind: EventKind
) -> None:
    wrong = judge(root, played.twice(kind).seen)
    assert any("say 2 times" in one for one in wrong), wrong


STORED: dict[str, tuple[str, str]] = {
    "a breach is denied": (
        "UPDATE found SET breach = 0, maintenance_row = NULL, initial_row = NULL WHERE breach = 1",
        "and the book says",
    ),
    "a breach is invented": (
        "UPDATE found SET breach = 1, maintenance_row = 0, initial_row = 0 WHERE breach = 0",
        "and the book says",
    ),
    "another row": ("UPDATE found SET initial_row = initial_row + 1 WHERE breach = 1", "and the book says"),
    "what was signed is not what was found": (
        "UPDATE found SET initial_row = initial_row + 1 WHERE breach = 1",
        "is stored as found",
    ),
    "nothing is found of what was signed": ("DELETE FROM found", "did not store that it found so"),
    "of a run that there is not": ("UPDATE found SET run = 'ab' WHERE breach = 1", "which was never owed"),
    "an opening is stuck": ("UPDATE openings SET state = 'found'", "is found, and all are over"),
    "an opening was refused": (
        "UPDATE openings SET state = 'refused', reason = 'TooManySessions: 6 computations'",
        "was refused: TooManySessions",
    ),
    "a finding without a verdict": ("UPDATE openings SET verdict = NULL", "a finding without a verdict"),
}


@pytest.mark.parametrize("damage", STORED)
def test_what_a_custodian_stored_is_held_against_the_truth(played: Played, root: Path, damage: str) -> None:
    statement, told = STORED[damage]
    signer = spoil(root, statement)
    wrong = played.wrong(root)
    assert any(told in one and signer in one for one in wrong), wrong


def test_two_findings_of_one_run_one_after_the_other_are_noticed(played: Played, root: Path) -> None:
    remembered = Remembered()
    remembered.look(root)
    assert remembered.wrong == []
    signer = spoil(root, "UPDATE found SET initial_row = initial_row + 1 WHERE breach = 1")
    wrong = played.wrong(root, remembered)
    assert any(f"{signer} found" in one and "and later" in one for one in wrong), wrong


def test_a_finding_that_is_forgotten_is_noticed(played: Played, root: Path) -> None:
    remembered = Remembered()
    remembered.look(root)
    signer = spoil(root, "DELETE FROM found WHERE breach = 1")
    wrong = played.wrong(root, remembered)
    assert any(f"{signer} found" in one and "forgot it" in one for one in wrong), wrong


def spoil(root: Path, statement: str) -> str:
    """Change the database of a custodian that signed both findings; return its name."""
    for folder in sorted((root / "custodians").glob("custodian-*")):
        with closing(sqlite3.connect(folder / "custodian.db")) as database, database:
            rows = database.execute("SELECT finding FROM openings WHERE finding IS NOT NULL").fetchall()
            if {json.loads(finding)["outcome"] for (finding,) in rows} == {"covered", "breach"}:
                assert database.execute(statement).rowcount > 0, statement
                return folder.name
    raise AssertionError("nobody signed both findings")
