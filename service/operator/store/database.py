"""The operator's database, and its two kinds of transactions: units of work, which write, and readings.

SQLite by default, in write-ahead-log mode with full synchronisation; PostgreSQL by URL. Units of work are serial on
both: on SQLite each takes the write lock at its beginning (`BEGIN IMMEDIATE`), on PostgreSQL an advisory lock, so what
it read is still true when it commits. Readings see one state of the database, take no lock, and keep nobody waiting. A
crash at any line leaves either all or nothing of a unit of work.

The beginning of a transaction is tried again while the database is busy or a connection is dead (`DatabaseBusy` in the
end); `Store.run` does so with the whole of a unit of work. The rest of the operator imports this module and no driver.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.orm import Session

from atomic_margin.documents.clock import CLOCK
from atomic_margin.service.errors import DatabaseBusy, MalformedRequest
from atomic_margin.service.operator.store.addresses import DATABASE_FILE, create_private, named_errors, parse_url
from atomic_margin.service.operator.store.migrations import NEWEST, bring_up_to_date, version_of
from atomic_margin.service.operator.store.transient import is_transient

WAIT_SECONDS = 30.0
"""Longest time that a caller waits for a transaction to begin."""
OPENING_SECONDS = 3.0
"""Longest time that it takes to say that a database does not answer."""
ATTEMPTS = 5
"""How often `Store.run` does a unit of work that fails by a transient error."""
LOCK_KEY = 7_230_148_105
"""Of the advisory lock that units of work take on PostgreSQL."""
_BUSY_MILLISECONDS = 5000

_READING = "atomic_margin_reading"
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Store:
    """The database behind one engine."""

    def __init__(self, url: str, version: str | None = NEWEST) -> None:
        """Open (and create, where needed) the database at an SQLAlchemy URL, and bring its tables up to date.

        Args:
            url: of SQLite or PostgreSQL.
            version: that the tables get, for a backup of that version; None to leave them as they are.

        Raises:
            DatabaseUnusable: it is not reachable, or none of ours.
            SchemaUnknown: a newer version made its tables.
        """
        self.url = parse_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._writing = threading.Lock()
        self._closed = False
        with named_errors(self.url):
            if self.sqlite:
                create_private(self.url)
                self.engine: Engine = create_engine(self.url, pool_size=8, max_overflow=56, hide_parameters=True)
                event.listen(self.engine, "connect", _configure_sqlite)
                event.listen(self.engine, "begin", _begin_sqlite)
                self._reader = self.engine.execution_options(**{_READING: True})
            else:
                self.engine = create_engine(
                    self.url,
                    isolation_level="READ COMMITTED",
                    pool_pre_ping=True,
                    hide_parameters=True,
                    pool_size=8,
                    max_overflow=56,
                    connect_args=_postgresql_options(dict(self.url.query)),
                )
                event.listen(self.engine, "begin", _begin_postgresql)
                self._reader = self.engine.execution_options(
                    **{_READING: True, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                )
            # From the beginning: while connections come back nobody may begin to listen.
            event.listen(self.engine.pool, "checkin", self._came_back)
            try:
                self._upgrade(version)
            except BaseException:
                self.engine.dispose()
                raise

    @classmethod
    def in_directory(cls, directory: Path) -> "Store":
        """Open the SQLite database of a data directory."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(f"sqlite:///{directory / DATABASE_FILE}")

    @contextmanager
    def unit_of_work(self) -> Iterator[Session]:
        """Run the block in one transaction: committed at its end, rolled back when it raises.

        Raises:
            DatabaseBusy: it could not begin, or the database was lost on the way; doing the same again is safe where
                it looks first at what is stored.
        """
        with _named(), self._transaction() as session:
            yield session

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        end = time.monotonic() + WAIT_SECONDS
        # Those of this process come one after the other here, not each polling at the database for its turn.
        if not self._writing.acquire(timeout=WAIT_SECONDS):
            raise _busy()
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                _begin(session, end)
                yield session
        finally:
            self._writing.release()

    @contextmanager
    def reading(self, wait: float = WAIT_SECONDS) -> Iterator[Session]:
        """Run the block in a transaction that sees one state of the database and cannot write; it keeps nobody waiting.

        Raises:
            DatabaseBusy: it could not begin within ``wait`` seconds.
        """
        with _named(), Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            _begin(session, time.monotonic() + wait)
            yield session

    def run(self, work: Callable[[Session], T]) -> T:
        """Do a unit of work, and all of it again when it fails by a transient error; return what it returns.

        `work` may be called several times, so whatever it does but for the session has to bear that. A connection that
        is lost while the commit is under way is not tried again: whether it was carried out is not known.

        Raises:
            DatabaseBusy: it failed by transient errors as often as it is tried.
        """
        for attempt in range(1, ATTEMPTS + 1):
            committing = False
            try:
                with self._transaction() as session:
                    result = work(session)
                    session.flush()
                    committing = True
                return result
            except DBAPIError as error:
                if not is_transient(error) or (committing and error.connection_invalidated):
                    raise
                _log.info("a unit of work is done again (attempt %d failed): %s", attempt, error.orig)
                if attempt == ATTEMPTS:
                    raise _busy() from error
            _pause(attempt)
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Release every connection; one that is in use is closed when it comes back."""
        self._closed = True
        self.engine.dispose()

    def _came_back(self, _connection: Any, record: Any) -> None:
        if self._closed:
            # The pool would keep it open, for whoever collects garbage.
            record.invalidate()

    def _upgrade(self, version: str | None) -> None:
        with self.reading(OPENING_SECONDS) as session:
            found = version_of(session.connection())
        # Alembic takes a while to import: only whoever has something to upgrade does.
        if version is not None and found != version:
            with self.unit_of_work() as session:
                bring_up_to_date(session.connection(), version)


def now() -> datetime:
    """Return the present time in UTC; it never runs backwards."""
    return CLOCK.now()


def _begin(session: Session, end: float) -> None:
    """Have a session's transaction begin at the database, waiting while that is busy or does not answer."""
    attempt = 1
    while True:
        try:
            session.connection()
            return
        except NoFreeConnection as error:
            raise _busy() from error
        except DBAPIError as error:
            if not is_transient(error):
                raise
            if time.monotonic() >= end:
                raise _busy() from error
            _log.debug("the database is busy (attempt %d): %s", attempt, error.orig)
        _pause(attempt)
        attempt += 1


def _pause(attempt: int) -> None:
    time.sleep(min(1.0, 0.01 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311  # no secret: spreads callers


def _busy() -> DatabaseBusy:
    return DatabaseBusy("the database was busy, or did not answer; nothing was stored, ask again")


@contextmanager
def _named() -> Iterator[None]:
    """Give errors of the database that a caller can do something about their names."""
    try:
        yield
    except DBAPIError as error:
        if is_transient(error):
            raise _busy() from error
        if isinstance(error, DataError):
            raise MalformedRequest(
                "a value is none that the database holds: a NUL, or a number out of range"
            ) from error
        raise


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun by the listener below, not by the driver.
    connection.isolation_level = None
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MILLISECONDS}")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READING, False)
    # Both come from one pool, so each says what it is.
    connection.exec_driver_sql(f"PRAGMA query_only={int(reading)}")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get(_READING, False):
        # One after the other, as on SQLite: under READ COMMITTED, statements after it see all that was committed.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")


def _postgresql_options(query: dict[str, Any]) -> dict[str, Any]:
    """Return limits of waiting, where the URL says nothing else: for a connection, a lock, a caller that hangs."""
    limits = f"-c lock_timeout={_BUSY_MILLISECONDS} -c idle_in_transaction_session_timeout=120000"
    usual = {"connect_timeout": 10, "options": limits, "application_name": "atomic-margin"}
    return {name: value for name, value in usual.items() if name not in query}
