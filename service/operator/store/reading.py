"""Reading for people without the write lock: a snapshot that sees what is committed, and holds nobody up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from atomic_margin.service.operator.store.database import Store


@contextmanager
def reading(store: Store) -> Iterator[Session]:
    """Give a session that reads one snapshot and can write nothing."""
    url = store.engine.url
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool)
        event.listen(engine, "connect", _read_only)
        # Deferred: it takes a snapshot at its first query, and no lock that a writer waits for.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    else:
        engine = create_engine(url, poolclass=NullPool, isolation_level="REPEATABLE READ")
    try:
        with Session(engine, expire_on_commit=False) as session:
            yield session
    finally:
        engine.dispose()


def _read_only(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("busy_timeout=5000", "query_only=ON"):
        connection.execute(f"PRAGMA {pragma}")
