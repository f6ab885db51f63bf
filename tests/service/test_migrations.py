"""The steps from one form of the tables to the next: what they make, and databases that they refuse."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text

from atomic_margin.service.errors import SchemaUnknown
from atomic_margin.service.operator.store import custody_tables as _custody_tables  # noqa: F401  # as are these
from atomic_margin.service.operator.store import idempotency as _idempotency  # noqa: F401  # its table is one of them
from atomic_margin.service.operator.store import migrations
from atomic_margin.service.operator.store import rail_tables as _rail_tables  # noqa: F401  # and these
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import Base, HaltRow

from ..postgres import fresh_store, in_file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = fresh_store(tmp_path / "operator")
    yield opened
    opened.close()


def differences(store: Store) -> list[object]:
    with store.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))


def test_the_steps_make_the_tables_that_the_code_has(store: Store) -> None:
    """Whoever changes `store.tables` runs scripts/migration.py."""
    assert differences(store) == []


def test_the_newest_step_is_the_version_of_the_code(store: Store) -> None:
    with store.reading() as session:
        directory = ScriptDirectory.from_config(migrations.configuration(session.connection()))
        assert migrations.version_of(session.connection()) == migrations.NEWEST
    assert directory.get_heads() == [migrations.NEWEST]
    assert directory.get_bases() == [migrations.BASELINE]


def baseline(folder: Path) -> Path:
    """Make a database as versions before the steps made it, with a row in it."""
    path = folder / "operator.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        from alembic import command

        command.upgrade(migrations.configuration(connection), migrations.BASELINE)
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("INSERT INTO halts (number, sha256, document) VALUES (1, 'a', '{}')"))
    engine.dispose()
    return path


@pytest.mark.sqlite_only("versions before the steps had no PostgreSQL")
def test_a_database_of_before_the_steps_keeps_its_rows_and_gets_what_it_lacks(tmp_path: Path) -> None:
    baseline(tmp_path)
    store = in_file(tmp_path)
    assert differences(store) == []
    with store.reading() as session:
        assert session.scalars(select(HaltRow.sha256)).all() == ["a"]
        assert migrations.version_of(session.connection()) == migrations.NEWEST
    store.close()


@pytest.mark.sqlite_only("versions before the steps had no PostgreSQL")
def test_a_database_of_before_the_steps_with_other_tables_is_refused(tmp_path: Path) -> None:
    path = baseline(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE runs DROP COLUMN problem")
    before = path.read_bytes()
    with pytest.raises(SchemaUnknown, match="its table 'runs' is none that this program knows"):
        in_file(tmp_path)
    assert path.read_bytes()[100:] == before[100:]


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(store: Store) -> None:
    with store.unit_of_work() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaUnknown, match="tables of version 9999, and this program knows up to") as refused:
        Store(store.url.render_as_string(hide_password=False))
    assert "\n" not in str(refused.value)
    with store.reading() as session:
        assert migrations.version_of(session.connection()) == "9999"
