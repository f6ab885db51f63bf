"""What the institution's store refuses: masks that were used before, and a database of an earlier version."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from atomic_margin.service.errors import AgentRefused, ConfigurationError
from atomic_margin.service.institution.store import InstitutionStore


def test_masks_are_used_once_even_after_a_restart(tmp_path: Path) -> None:
    store = InstitutionStore(tmp_path)
    store.use_masks(bytes(32))
    store.use_masks(bytes(31) + b"\1")
    store.close()
    again = InstitutionStore(tmp_path)
    with pytest.raises(AgentRefused, match="used before"):
        again.use_masks(bytes(32))
    again.close()


def test_a_database_of_an_earlier_version_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "institution.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE submissions (sequence INTEGER PRIMARY KEY, accepted BOOLEAN)")
    with pytest.raises(ConfigurationError, match=r"institution\.db was made by an earlier version"):
        InstitutionStore(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("submissions",)]
