"""What judges the stories notices every kind of damage that they are about, and nothing where there is none."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ..e2e.harness import World, copy_world
from .house import NAME, open_house
from .judge import Seen, judge
from .stories import ENDS, calm, ended

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

COVERED, CALLED = f"{NAME}.1", f"{NAME}.2"
FREE, POSTED = f"{NAME}/free", f"{NAME}/posted"


@pytest.fixture(scope="module")
def played(enrolled: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen]:
    """A house after a covered run and one with a margin call, stopped in peace, and what it served."""
    world = copy_world(enrolled, tmp_path_factory.mktemp("played"))
    world.program = "tests.e2e.plain_server"
    with open_house(world) as house:
        calm(house)
        house.falling()
        house.wait_over(house.tick(), ENDS)
        seen = ended(house)
    return world.root, seen


@pytest.fixture
def root(played: tuple[Path, Seen], tmp_path: Path) -> Path:
    return shutil.copytree(played[0], tmp_path / "copy")


def spoil(root: Path, *statements: str, whose: str = "operator") -> None:
    with closing(sqlite3.connect(root / whose / f"{whose}.db")) as database, database:
        database.execute("PRAGMA foreign_keys=OFF")
        for line in statements:
            statement = line
            for name, value in {"COVERED": COVERED, "CALLED": CALLED, "FREE": FREE, "POSTED": POSTED}.items():
                statement = statement.replace(f"'{name}'", f"'{value}'")
            assert database.execute(statement).rowcount > 0, statement


def test_a_house_that_was_left_in_peace_has_nothing_wrong(played: tuple[Path, Seen], root: Path) -> None:
    assert judge(root, played[1]) == []
    kinds = played[1].of_runs()
    assert [str(kind) for kind in kinds[COVERED]] == ["run opened", "run recorded", "covered"]
    assert [str(kind) for kind in kinds[CALLED]] == ["run opened", "run recorded", "breach proven", "margin called"]


# In statements, COVERED, CALLED, FREE and POSTED stand for the names.
DAMAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "a settlement is booked twice": (
        (
            "INSERT INTO ledger_transactions (reference, kind, booked_at) SELECT reference || ' ', kind, booked_at "
            "FROM ledger_transactions WHERE reference LIKE 'settlement/%'",
            "INSERT INTO ledger_postings (transaction_id, account, asset, amount) SELECT (SELECT max(id) FROM "
            "ledger_transactions), account, asset, amount FROM ledger_postings WHERE transaction_id = "
            "(SELECT id FROM ledger_transactions WHERE reference LIKE 'settlement/%' ORDER BY id LIMIT 1)",
        ),
        "has a booking that no entry explains",
    ),
    "a settlement is of a covered run": (
        ("UPDATE settlements SET run_id = 'COVERED' WHERE run_id = 'CALLED'",),
        f"run {COVERED} has a settlement that no entry explains",
    ),
    "a settlement is lost": (
        ("DELETE FROM settlements WHERE run_id = 'CALLED'",),
        f"run {CALLED} has no settlement",
    ),
    "a settled run is open again": (
        ("UPDATE runs SET state = 'breach_verified' WHERE run_id = 'CALLED'",),
        f"run {CALLED} is breach_verified, and entries say",
    ),
    "a covered run is settled": (
        ("UPDATE runs SET state = 'settled' WHERE run_id = 'COVERED'",),
        f"run {COVERED} is settled, and entries say",
    ),
    "a run is given up for nothing": (
        ("UPDATE runs SET state = 'superseded' WHERE run_id = 'CALLED'",),
        f"run {CALLED} is superseded, and entries say run opened",
    ),
    "a run is lost": (("DELETE FROM runs WHERE run_id = 'COVERED'",), f"run {COVERED} is lost: its tick was taken"),
    "a tick is lost": (("DELETE FROM ticks WHERE sequence = 2",), "tick 2 was taken and is lost"),
    "an answer is lost": (("DELETE FROM answers WHERE run_id = 'COVERED'",), f"run {COVERED} has no answer"),
    "a bundle is lost": (("DELETE FROM attestations WHERE run_id = 'CALLED'",), f"run {CALLED} has no bundle"),
    "an entry is lost": (
        ("DELETE FROM entries WHERE number = (SELECT max(number) FROM entries)",),
        "is the first that differs",
    ),
    "an entry is another": (
        ("UPDATE entries SET sha256 = 'aa' WHERE number = 3",),
        "entry 3 is the first that differs",
    ),
    "a posting has another amount": (
        ("UPDATE ledger_postings SET amount = amount + 1 WHERE id = (SELECT max(id) FROM ledger_postings)",),
        "the ledger sums to 1",
    ),
    "two postings have other amounts": (
        (
            "UPDATE ledger_postings SET amount = amount - 7 WHERE id = (SELECT max(id) FROM ledger_postings WHERE "
            "account = 'FREE' AND asset = 'USDC')",
            "UPDATE ledger_postings SET amount = amount + 7 WHERE id = (SELECT max(id) FROM ledger_postings WHERE "
            "account = 'external' AND asset = 'USDC')",
        ),
        "replay: ",
    ),
    "an account has less than nothing": (
        (
            "INSERT INTO ledger_postings (transaction_id, account, asset, amount) VALUES (1, 'POSTED', 'ETH', -5)",
            "INSERT INTO ledger_postings (transaction_id, account, asset, amount) VALUES (1, 'external', 'ETH', 5)",
        ),
        f"{POSTED} holds -5 ETH",
    ),
    "the account is frozen": (("UPDATE accounts SET state = 'frozen'",), "the account is frozen"),
    "the account's head is another": (("UPDATE accounts SET entries = entries - 1",), "the account's head is entry"),
    "a leaf of the log is another": (
        ("UPDATE log_leaves SET entry = CAST(entry || ' ' AS BLOB) WHERE number = 2",),
        "leaves is of another log",
    ),
    "a leaf of the log is lost": (
        ("DELETE FROM log_leaves WHERE number = (SELECT max(number) FROM log_leaves)",),
        "was published, the log has",
    ),
    "checkpoints are lost": (("DELETE FROM log_checkpoints",), "the log has no checkpoint"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_of_the_operators_database_is_noticed(played: tuple[Path, Seen], root: Path, damage: str) -> None:
    statements, told = DAMAGE[damage]
    spoil(root, *statements)
    wrong = judge(root, played[1])
    assert any(told in one for one in wrong), wrong


AT_THE_AGENT: dict[str, tuple[str, str]] = {
    "an entry is missing": (
        "DELETE FROM entries WHERE number = (SELECT max(number) FROM entries)",
        "the agent stored",
    ),
    "its head is another": ("UPDATE account SET head = 'bb'", "the agent's head is entry"),
    "an answer never arrived": ("UPDATE answers SET entry = NULL WHERE run_id = 'CALLED'", "has no entry and"),
    "an answer is another": ("UPDATE answers SET sha256 = 'cc' WHERE run_id = 'CALLED'", "none that was served"),
    "an alarm was raised": ("UPDATE keys SET alarm = 'a wrong flag'", "raised an alarm: a wrong flag"),
}


@pytest.mark.parametrize("damage", AT_THE_AGENT)
def test_damage_of_the_agents_database_is_noticed(played: tuple[Path, Seen], root: Path, damage: str) -> None:
    statement, told = AT_THE_AGENT[damage]
    spoil(root, statement, whose="institution")
    wrong = judge(root, played[1])
    assert any(told in one for one in wrong), wrong


def _without_the_settlement(seen: Seen) -> Seen:
    return Seen(seen.entries[:-1], seen.ticks)


def _with_two_settlements(seen: Seen) -> Seen:
    return Seen((*seen.entries, seen.entries[-1]), seen.ticks)


def _without_the_last_run(seen: Seen) -> Seen:
    return Seen(tuple(one for one in seen.entries if one[1].body.get("run_id") != CALLED), seen.ticks)


def _with_another_tick(seen: Seen) -> Seen:
    return Seen(seen.entries, (*seen.ticks, len(seen.ticks) + 1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without_the_settlement, f"run {CALLED} is settled, and entries say run opened, run recorded, breach proven"),
        (_with_two_settlements, f"run {CALLED}: entries say 2 times that it is margin called"),
        (_without_the_last_run, f"run {CALLED} is settled, and entries say nothing"),
        (_with_another_tick, "tick 3 was taken and is lost"),
    ],
)
def test_what_was_served_is_compared_with_what_is_there(
    played: tuple[Path, Seen], root: Path, change: Callable[[Seen], Seen], told: str
) -> None:
    wrong = judge(root, change(played[1]))
    assert any(told in one for one in wrong), wrong
