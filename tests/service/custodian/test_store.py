"""A custodian's memory: what is stored survives, is limited, and is gone once it is erased."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.custodian import store as stores
from atomic_margin.service.custodian.errors import HistoryOlder, TooManyDeals, TooManyOpenings, TooManyVoids
from atomic_margin.service.custodian.store import Store
from atomic_margin.service.custodian.stored import DealRow, Found, Kept, OpeningRow
from atomic_margin.service.errors import ConfigurationError

SECRET = b"shares that nobody is to read later " * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "custodian.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store(path)
    yield made
    made.close()


def deal(name: str, **changes: Any) -> DealRow:
    row = DealRow(
        deal=name,
        institution="larkfield",
        point=2,
        policy="1a" * 32,
        book="1b" * 32,
        dealing={"type": "dealing"},
        coefficients=b"points",
        shares=SECRET,
        state="held",
        said={"type": "share-receipt"},
        sent=False,
        expires_at=100,
        stored_at=50,
    )
    return row._replace(**changes)


def opening(name: str, **changes: Any) -> OpeningRow:
    row = OpeningRow(name, "larkfield", "run", "deal", "agreed", "", 0, 0, None, None, 10)
    return row._replace(**changes)


def test_what_is_stored_is_there_after_a_crash(path: Path) -> None:
    """Nothing is closed: as if the process was killed."""
    first = Store(path)
    first.keep_deal(deal("a"))
    first.keep_opening(opening("r", finding={"outcome": "covered"}, state="signed", verdict={"type": "x"}))
    first.keep_found("run", "r", Found(True, 3, 4), 10)
    first.saw_account("account", "larkfield", 7, "1a" * 32, 10)
    first.looked(5, 100)
    second = Store(path)
    assert second.deal("a") == deal("a")
    assert second.opening("r") == opening("r", finding={"outcome": "covered"}, state="signed", verdict={"type": "x"})
    assert second.found("run") == Found(True, 3, 4)
    assert second.leaf_seen_at(4) == 100
    with pytest.raises(HistoryOlder):
        second.saw_account("account", "larkfield", 6, "1b" * 32, 10)


def test_a_step_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.keep_deal(deal("a"))
    monkeypatch.setattr(stores, "KEPT_ERASED", object())
    with pytest.raises(sqlite3.Error):
        store.erase(["a"])
    assert store.deal("a") == deal("a")


def test_one_result_of_a_run_is_stored_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.keep_found("run", "first", Found(True, 3, 4), 10) == Found(True, 3, 4)
    assert store.keep_found("run", "second", Found(False), 11) == Found(True, 3, 4)
    assert store.found("run") == Found(True, 3, 4)
    assert store.found("other") is None
    monkeypatch.setattr(stores, "MAX_FOUND", 1)
    with pytest.raises(TooManyOpenings):
        store.keep_found("other", "third", Found(False), 12)
    assert store.keep_found("run", "fourth", Found(False), 13) == Found(True, 3, 4)


def test_what_certifies_rows_is_part_of_the_result_of_a_run(path: Path) -> None:
    """Another choice for the same rows is another result."""
    first = Store(path)
    said = Found(True, 3, 4, (7, 9), ())
    assert first.keep_found("run", "first", said, 10) == said
    second = Store(path)
    assert second.found("run") == said
    assert second.keep_found("run", "again", Found(True, 3, 4, (7, 9), ()), 11) == said
    assert second.keep_found("run", "again", Found(True, 3, 4, (7,), ()), 12) == said
    assert second.keep_found("covered", "other", Found(False), 12) == Found(False)
    assert second.found("covered") == Found(False)


def test_a_database_from_before_slack_was_opened_is_taken_over(path: Path) -> None:
    old = sqlite3.connect(path, isolation_level=None)
    old.execute(
        "CREATE TABLE found (run TEXT PRIMARY KEY, request TEXT NOT NULL, breach INTEGER NOT NULL, "
        "maintenance_row INTEGER, initial_row INTEGER, found_at INTEGER NOT NULL)"
    )
    old.execute("INSERT INTO found VALUES ('run', 'request', 1, 3, 4, 10)")
    old.execute("PRAGMA user_version=1")
    old.close()
    for _ in range(2):
        taken = Store(path)
        assert taken.found("run") == Found(True, 3, 4)
        assert taken.keep_found("run", "again", Found(False), 11) == Found(True, 3, 4)
        said = Found(True, 1, 2, (5,), (6,))
        assert taken.keep_found("other", "request", said, 12) == said
        taken.close()


def test_a_complaint_makes_place_for_shares(store: Store) -> None:
    store.keep_deal(deal("a", state="complained", shares=None, coefficients=b""))
    store.deal_sent("a")
    found = store.deal("a")
    assert found is not None
    assert found.sent
    store.keep_deal(deal("a"))
    assert store.deals() == [deal("a")]
    assert store.counts("deals") == {"held": 1}


@pytest.mark.parametrize("limit", ["MAX_DEALS", "MAX_DEALS_OF_ONE"])
def test_deals_are_limited(store: Store, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(stores, limit, 2)
    for name in ("a", "b"):
        store.keep_deal(deal(name))
    with pytest.raises(TooManyDeals):
        store.keep_deal(deal("c"))
    if limit == "MAX_DEALS_OF_ONE":
        store.keep_deal(deal("c", institution="harbour"))
    store.erase(["a"])
    store.keep_deal(deal("d"))


def test_accounts_and_openings_and_looks_are_limited(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MAX_ACCOUNTS", 1), ("KEPT_OPENINGS", 2), ("KEPT_LOOKS", 2), ("KEPT_ERASED", 1)):
        monkeypatch.setattr(stores, name, value)
    store.saw_account("a", "larkfield", 1, "1a" * 32, 0)
    store.saw_account("a", "larkfield", 2, "1b" * 32, 0)
    with pytest.raises(HistoryOlder, match="no more are"):
        store.saw_account("b", "harbour", 1, "1a" * 32, 0)
    for number in range(5):
        store.keep_opening(opening(f"r{number}", state="over", changed_at=number))
        store.looked(number, 100 + number)
        store.keep_deal(deal(f"d{number}", stored_at=number))
        store.erase([f"d{number}"])
    store.keep_opening(opening("open", changed_at=0))
    assert {row.request for row in store.openings()} == {"r3", "r4", "open"}
    # A leaf of before counts from a later look: a book is opened later, not earlier.
    assert store.leaf_seen_at(0) == 103
    assert [row.deal for row in store.deals()] == ["d4"]


def test_a_leaf_counts_from_the_first_checkpoint_that_has_it(store: Store) -> None:
    for size, seen in ((3, 100), (5, 110), (5, 120), (9, 130)):
        store.looked(size, seen)
    assert [store.leaf_seen_at(leaf) for leaf in (0, 2, 3, 4, 5, 8, 9)] == [100, 100, 110, 110, 130, 130, None]


def test_the_same_entry_twice_is_no_older_history(store: Store) -> None:
    store.saw_account("a", "larkfield", 3, "1a" * 32, 0)
    store.saw_account("a", "larkfield", 3, "1a" * 32, 1)
    with pytest.raises(HistoryOlder):
        store.saw_account("a", "larkfield", 3, "1b" * 32, 2)


def test_what_is_erased_is_in_no_file_of_the_database(store: Store, path: Path) -> None:
    for number in range(20):
        store.keep_deal(deal(f"d{number}"))

    def bytes_of() -> bytes:
        return b"".join(one.read_bytes() for one in path.parent.iterdir())

    assert SECRET in bytes_of()
    store.erase([f"d{number}" for number in range(19)])
    # One has what it had.
    assert bytes_of().count(SECRET) == 1
    store.erase(["d19"])
    assert SECRET[:36] not in bytes_of()
    found = store.deal("d0")
    assert found is not None
    assert (found.state, found.shares, found.coefficients) == ("erased", None, b"")


def test_others_read_beside_the_process_that_has_it(store: Store, path: Path) -> None:
    store.keep_deal(deal("a"))
    beside = Store(path, read_only=True)
    assert beside.counts("deals") == {"held": 1}
    with pytest.raises(sqlite3.OperationalError):
        beside.deal_sent("a")
    beside.close()
    with pytest.raises(ConfigurationError, match="custodian serve"):
        Store(path.with_name("other.db"), read_only=True)


def test_a_database_of_another_version_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version=9")
    other.close()
    with pytest.raises(ConfigurationError, match="version 9"):
        Store(path)


VOID = {"request": "request", "session": "1"}


def test_what_is_void_is_kept_and_makes_place(store: Store) -> None:
    first, second = Found(True, 1, 2, (3,), None), Found(False)
    store.keep_found("run", "request", first, 10, 1, (5, 1))
    assert store.keep_found("run", "again", first, 11, 2, (9,)) == first
    # Who found the same is known, and by which request it was found first.
    assert store.kept("run") == Kept(first, "request", 1, (1, 5, 9))
    store.keep_found("run", "again", second, 12, 3, (2,))
    assert store.kept("run") == Kept(first, "request", 1, (1, 5, 9))
    store.void_found("run", VOID, 13, 2)
    assert (store.found("run"), store.voided("other")) == (None, [])
    assert store.voided("run") == [Kept(first, "request", 1, (1, 5, 9), VOID)]
    # Nothing is void where nothing is found.
    store.void_found("run", VOID, 13, 2)
    assert len(store.voided("run")) == 1
    assert store.keep_found("run", "again", second, 14, 3, (2,)) == second


def test_so_many_findings_of_a_run_are_void_and_no_more(store: Store) -> None:
    for row in range(3):
        store.keep_found("run", "request", Found(True, row, 0), 10)
        if row < 2:
            store.void_found("run", VOID, 11, 2)
    with pytest.raises(TooManyVoids, match="2 findings of this run were void"):
        store.void_found("run", VOID, 11, 2)
    assert store.found("run") == Found(True, 2, 0)
    assert [kept.found.maintenance_row for kept in store.voided("run")] == [0, 1]


def test_a_database_from_before_findings_were_void_is_taken_over(path: Path) -> None:
    old = sqlite3.connect(path, isolation_level=None)
    old.execute(
        "CREATE TABLE found (run TEXT PRIMARY KEY, request TEXT NOT NULL, breach INTEGER NOT NULL, "
        "maintenance_row INTEGER, initial_row INTEGER, found_at INTEGER NOT NULL, maintenance_chosen TEXT, "
        "initial_chosen TEXT)"
    )
    old.execute("INSERT INTO found VALUES ('run', 'request', 1, 3, 4, 10, '[7]', '[8]')")
    old.execute("PRAGMA user_version=2")
    old.close()
    beside = Store(path, read_only=True)
    assert beside.voided("run") == []
    beside.close()
    for _ in range(2):
        taken = Store(path)
        assert taken.kept("run") == Kept(Found(True, 3, 4, (7,), (8,)), "request", 0, ())
        assert taken.voided("run") == []
        taken.close()
