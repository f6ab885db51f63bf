"""The steps from one form of the operator's tables to the next, by Alembic; `store.database` takes them when it opens.

Each is a module of `versions`, taken once, in the transaction of a unit of work. `scripts/migration.py` writes a new
one after a change of `store.tables`, and a test compares what all of them make with those tables.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, inspect, text

from atomic_margin.service.errors import SchemaUnknown

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0010"
"""The version that the tables of this code have."""
BASELINE = "0001"
"""What databases have that were made before there were versions."""
_TABLE = "alembic_version"

Columns = dict[str, set[str]]


def version_of(connection: Connection) -> str | None:
    """Return the version of a database's tables, None if nobody wrote one."""
    if not inspect(connection).has_table(_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {_TABLE}")).scalar()  # noqa: S608  # a constant


def bring_up_to_date(connection: Connection, wanted: str = NEWEST) -> None:
    """Take the steps that a database lacks, in the transaction that is open. An empty one gets all tables.

    Args:
        connection: to it.
        wanted: the version that its tables get.

    Raises:
        SchemaUnknown: the version is none of this code's, or the tables are none of ours; nothing is changed.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    config, version = configuration(connection), version_of(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if wanted not in known:
        raise SchemaUnknown(f"there are no tables of version {wanted}; this program knows up to {NEWEST}")
    if version is None:
        tables = _columns(connection)
        if tables:
            _require_baseline(tables)
            command.stamp(config, BASELINE)
    elif version not in known:
        raise SchemaUnknown(
            f"the database has tables of version {version}, and this program knows up to {NEWEST}: start the newer "
            "atomic-margin that made them, or restore a backup of before"
        )
    command.upgrade(config, wanted)


def configuration(connection: Connection) -> "Config":
    """Return what Alembic is called with, to work in a connection's open transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def _columns(connection: Connection) -> Columns:
    found = inspect(connection)
    return {table: {column["name"] for column in found.get_columns(table)} for table in found.get_table_names()}


def _require_baseline(tables: Columns) -> None:
    """Make sure that a database without a version has the tables that there were before versions."""
    from alembic import command

    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            command.upgrade(configuration(connection), BASELINE)
            wanted = _columns(connection)
    finally:
        engine.dispose()
    del wanted[_TABLE]
    missing = [table for table in wanted if table not in tables]
    if len(missing) == len(wanted):
        raise SchemaUnknown("the database holds tables of something else: give the operator a database of its own")
    differing = missing or [table for table in wanted if wanted[table] != tables[table]]
    if differing:
        raise SchemaUnknown(
            f"the database has no version, and its table {differing[0]!r} is none that this program knows: an early "
            "version of atomic-margin made it; start that one, or begin with an empty folder"
        )
