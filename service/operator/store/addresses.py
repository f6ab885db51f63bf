"""Where the operator's database is: its URL, its file for nobody else to read, and errors in one line.

For `database`, which opens it, and for whoever names it to a person.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from atomic_margin.service.errors import DatabaseBusy, DatabaseUnusable

DATABASE_FILE = "operator.db"
"""The SQLite database of a data directory."""


def parse_url(text: str) -> URL:
    """Return an SQLAlchemy URL, with the driver that is used here.

    Raises:
        DatabaseUnusable: it is no URL, or of a database that is not served.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        # The text may hold a password.
        raise DatabaseUnusable(
            "--database takes a URL: sqlite:////folder/operator.db or postgresql://user:password@host/name"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise DatabaseUnusable(f"--database takes sqlite:// and postgresql:// URLs, not {url.drivername}://")
    return url


def shown(url: URL) -> str:
    """Return a URL for a person, without its password."""
    return url.render_as_string(hide_password=True)


def create_private(url: URL) -> None:
    """Make sure that the file of an SQLite database is there, and that its owner alone reads it.

    What SQLite puts beside it has the same permissions. One that stands open since an older version is closed.
    """
    if not url.database or url.database == ":memory:":
        raise DatabaseUnusable("an SQLite database is a file: sqlite:////folder/operator.db")
    path = Path(url.database)
    if not path.parent.is_dir():
        raise DatabaseUnusable(f"there is no folder {path.parent} for the database {path.name}; make it, or correct it")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)
    except OSError as error:
        raise DatabaseUnusable(f"the database {path} cannot be written: {error.strerror}") from error


@contextmanager
def named_errors(url: URL) -> Iterator[None]:
    """Turn what can be wrong with a database at its opening into one line that says what to do.

    Raises:
        DatabaseUnusable: that.
    """
    try:
        yield
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseUnusable(
            "PostgreSQL needs the extra `postgres`: install atomic-margin[postgres], or leave --database away"
        ) from error
    except DatabaseBusy as error:
        cause = error.__cause__
        why = f": {_first_line(cause.orig)}" if isinstance(cause, DBAPIError) else ""
        raise DatabaseUnusable(
            f"the database {shown(url)} does not answer{why}. Start it, stop what holds it, or correct --database"
        ) from error
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig):
            raise DatabaseUnusable(
                f"{url.database} is no SQLite database: restore it from a backup, or move it away to begin anew"
            ) from error
        raise DatabaseUnusable(f"the database {shown(url)} cannot be used: {_first_line(error.orig)}") from error


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
