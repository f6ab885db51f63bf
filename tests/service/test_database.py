"""The operator's database: units of work one after the other, readings that wait for nobody, and what is said at start.

On PostgreSQL too where `ATOMIC_MARGIN_TEST_DATABASE` says so; what is about SQLite's file alone is marked.
"""

import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.orm import Session

from atomic_margin.service.errors import Conflict, DatabaseBusy, DatabaseUnusable, MalformedRequest
from atomic_margin.service.operator.store import database
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import HaltRow
from atomic_margin.service.operator.store.transient import is_transient

from ..postgres import fresh_store, in_file, server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = fresh_store(tmp_path / "operator")
    yield opened
    opened.close()


def add(session: Session) -> int:
    """Add a row whose number follows from those that are there: two at once would take the same."""
    last = session.scalar(select(func.max(HaltRow.number))) or 0
    session.add(HaltRow(number=last + 1, sha256=f"{last + 1:064d}", document={}))
    session.flush()
    return int(last) + 1


def count(store: Store) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(HaltRow)) or 0


def test_units_of_work_come_one_after_the_other_also_those_of_another_process(store: Store, tmp_path: Path) -> None:
    other = Store(store.url.render_as_string(hide_password=False))

    def one(number: int) -> int:
        with (store, other)[number % 2].unit_of_work() as session:
            before = add(session)
            time.sleep(0.002)
            return before

    try:
        with ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(one, range(64))) == list(range(1, 65))
    finally:
        other.close()


def test_a_reading_waits_for_no_unit_of_work_and_sees_one_state(store: Store) -> None:
    with store.unit_of_work() as session:
        add(session)
        assert count(store) == 0
    with store.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(HaltRow)) == 1
        with store.unit_of_work() as session:
            add(session)
        assert reading.scalar(select(func.count()).select_from(HaltRow)) == 1
    assert count(store) == 2


def test_a_reading_cannot_write(store: Store) -> None:
    with pytest.raises((OperationalError, InternalError), match=r"readonly|read-only"), store.reading() as session:
        add(session)
    # The same connection writes again afterwards.
    with store.unit_of_work() as session:
        add(session)
    assert count(store) == 1


def test_a_unit_of_work_that_raises_leaves_nothing(store: Store) -> None:
    def fail(session: Session) -> None:
        add(session)
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.run(fail)
    assert count(store) == 0


def transient(store: Store) -> DBAPIError:
    """Return an error as the driver raises it: of a lock on SQLite, of a connection that was lost on PostgreSQL."""
    original: Exception
    if store.sqlite:
        original = sqlite3.OperationalError("database is locked")
        original.sqlite_errorcode = 5  # type: ignore[attr-defined]
    else:
        import psycopg

        original = psycopg.errors.SerializationFailure("could not serialize access")
    return OperationalError("SELECT 1", {}, original)


def test_run_does_the_whole_again_after_a_transient_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_pause", lambda _: None)
    calls = []

    def work(session: Session) -> int:
        calls.append(add(session))
        if len(calls) < 3:
            raise transient(store)
        return calls[-1]

    assert store.run(work) == 1
    # Each began anew: what the first two had added was gone.
    assert calls == [1, 1, 1]
    assert count(store) == 1


def test_run_gives_up_in_the_end_and_says_that_nothing_was_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_pause", lambda _: None)
    calls = []

    def work(session: Session) -> None:
        calls.append(add(session))
        raise transient(store)

    with pytest.raises(DatabaseBusy, match="nothing was stored, ask again"):
        store.run(work)
    assert len(calls) == database.ATTEMPTS
    assert count(store) == 0


def test_run_does_not_repeat_what_will_not_pass(store: Store) -> None:
    calls = []

    def work(session: Session) -> None:
        calls.append(1)
        session.add(HaltRow(number=1, sha256="a", document={}))
        session.flush()
        session.add(HaltRow(number=2, sha256="a", document={}))

    with pytest.raises(IntegrityError):
        store.run(work)
    assert calls == [1]


def test_a_connection_that_is_lost_costs_nothing_but_another_attempt(store: Store) -> None:
    if store.sqlite:
        pytest.skip("a file has no connection that gets lost")
    calls = []

    def work(session: Session) -> int:
        calls.append(add(session))
        if len(calls) == 1:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return calls[-1]

    assert store.run(work) == 1
    assert (len(calls), count(store)) == (2, 1)
    # Those that lie in the pool are dead as well, and replaced before they are used.
    with store.unit_of_work() as session:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        session.execute(text(f"{others} AND pid <> pg_backend_pid()"))
    assert count(store) == 1
    with pytest.raises(DatabaseBusy), store.unit_of_work() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_what_a_database_cannot_hold_is_the_callers_mistake(store: Store) -> None:
    if store.sqlite:
        pytest.skip("SQLite holds it")
    with pytest.raises(MalformedRequest, match="a NUL"), store.reading() as session:
        session.scalar(select(HaltRow.number).where(HaltRow.sha256 == "a\0"))
    with pytest.raises(MalformedRequest, match="a number out of range"), store.reading() as session:
        session.scalar(select(HaltRow.number).where(HaltRow.number == 2**40))


def test_a_store_is_closed_while_a_connection_comes_back(store: Store) -> None:
    event.listen(store.engine.pool, "checkin", lambda *_: store.close(), insert=True)
    with store.reading() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_connection_that_is_in_use_at_the_end_is_closed_when_it_comes_back(store: Store) -> None:
    used = store.engine.connect()
    connection = used.connection.driver_connection
    store.close()
    used.close()
    with pytest.raises(Exception, match=r"(?i)closed"):
        connection.execute("SELECT 1")  # type: ignore[union-attr]


def test_a_commit_that_was_lost_is_not_done_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been carried out: what is done again then has to look first, which `run` cannot know."""
    calls = []
    lost = OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"), connection_invalidated=True)

    def fail(_: Session) -> None:
        raise lost

    monkeypatch.setattr(database, "is_transient", lambda _: True)

    def work(session: Session) -> None:
        calls.append(1)
        event.listen(session, "before_commit", fail)

    with pytest.raises(OperationalError):
        store.run(work)
    assert calls == [1]


def test_units_of_work_of_two_processes_are_serial_on_postgresql(tmp_path: Path) -> None:
    url = server().of(tmp_path)
    with closing(Store(url)) as one, closing(Store(url)) as other:

        def work(number: int) -> int:
            with (one, other)[number % 2].unit_of_work() as session:
                return add(session)

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(work, range(64))) == list(range(1, 65))
    server().drop_under(tmp_path)


def test_a_full_disk_is_no_transient_error() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = 13  # type: ignore[attr-defined]
    assert not is_transient(OperationalError("INSERT", {}, full))
    assert not is_transient(Conflict("no"))


@pytest.mark.sqlite_only("how its driver waits")
def test_a_unit_of_work_waits_for_another_process_and_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MILLISECONDS", 20)
    store = in_file(tmp_path)
    with closing(sqlite3.connect(tmp_path / "operator.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, lambda: other.execute("ROLLBACK"))
        timer.start()
        # Far longer than the driver waits by itself.
        store.run(add)
        timer.join()
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(database, "WAIT_SECONDS", 0.2)
        assert count(store) == 1
        with pytest.raises(DatabaseBusy):
            store.run(add)
    store.close()


@pytest.mark.sqlite_only("who reads the file")
def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    in_file(tmp_path).close()
    path = tmp_path / "operator.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    store = in_file(tmp_path)
    store.run(add)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("operator.db*")}
    store.close()
    assert modes == {"operator.db": 0o600, "operator.db-shm": 0o600, "operator.db-wal": 0o600}


def junk(folder: Path) -> str:
    (folder / "junk.db").write_bytes(b"junk" * 1000)
    return f"sqlite:///{folder / 'junk.db'}"


def foreign(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "foreign.db")) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    return f"sqlite:///{folder / 'foreign.db'}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (junk, r"junk\.db is no SQLite database: restore it from a backup, or move it away"),
        (foreign, "holds tables of something else: give the operator a database of its own"),
        (lambda folder: f"sqlite:///{folder}/nowhere/operator.db", "there is no folder .*/nowhere"),
        (lambda _: "sqlite://", "an SQLite database is a file"),
        (lambda _: "postgresql://me:secret@127.0.0.1:9/margin", r"me:\*\*\*@127.0.0.1:9/margin does not answer: "),
        (lambda _: "mysql://a/b", "takes sqlite:// and postgresql:// URLs, not mysql://"),
        (lambda _: "postgres//me:secret@host", "takes a URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_that_says_what_to_do(
    url: Callable[[Path], str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "OPENING_SECONDS", 0.1)
    with pytest.raises(DatabaseUnusable, match=said) as refused:
        Store(url(tmp_path))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
