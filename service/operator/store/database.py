"""The operator's database, and one kind of transaction.

SQLite by default, in write-ahead-log mode with full synchronisation; each unit of work takes the write lock at its
beginning (`BEGIN IMMEDIATE`), so what it read is still true when it commits. A crash at any line leaves either all or
nothing of a unit of work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.orm import Session

from atomic_margin.service.operator.store import idempotency as _idempotency  # noqa: F401  # its table is one of them
from atomic_margin.service.operator.store.tables import Base


class Store:
    """The database behind one engine."""

    def __init__(self, url: str) -> None:
        """Open (and create, where needed) the database at an SQLAlchemy URL."""
        sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine: Engine = create_engine(url) if sqlite else create_engine(url, isolation_level="SERIALIZABLE")
        if sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        Base.metadata.create_all(self.engine)

    @classmethod
    def in_directory(cls, directory: Path) -> "Store":
        """Open the SQLite database of a data directory."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(f"sqlite:///{directory / 'operator.db'}")

    @contextmanager
    def unit_of_work(self) -> Iterator[Session]:
        """Run the block in one transaction: committed at its end, rolled back when it raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(timezone.utc)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun by the listener above, not by the driver.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")
