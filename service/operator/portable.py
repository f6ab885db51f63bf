"""The rows of all tables as lines of JSON, the same from every database: what backups are made of.

For `backup`. Tables are read and written as the database has them, in whichever version, not as this code has them.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import JSON, Boolean, Connection, Integer, LargeBinary, MetaData, Table, func, insert, select, text

from atomic_margin.service.errors import BackupInvalid

BATCH_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 20
"""Of a row; the largest are runs, with the words of their outputs."""
_VERSIONS = "alembic_version"

Columns = dict[str, str]


class Exported(NamedTuple):
    """A table on its way out.

    Attributes:
        name: of the table.
        columns: how the value of each is written: `plain`, `json` or `bytes`.
        lines: a row each.
    """

    name: str
    columns: Columns
    lines: Iterator[bytes]


def tables_of(connection: Connection) -> list[Table]:
    """Return the tables of a database, those that others refer to first."""
    found = MetaData()
    found.reflect(connection)
    tables = [table for table in found.sorted_tables if table.name != _VERSIONS]
    for table in tables:
        for column in table.columns:
            if isinstance(column.type, JSON):
                # Nothing is nothing, not a document that says null.
                column.type = JSON(none_as_null=True)
    return tables


def export(connection: Connection) -> Iterator[Exported]:
    """Yield every table; the rows of one are read before the next is asked for."""
    for table in tables_of(connection):
        yield Exported(
            table.name, {column.name: _kind(column.type) for column in table.columns}, _rows(connection, table)
        )


def _kind(column: Any) -> str:
    return "bytes" if isinstance(column, LargeBinary) else "json" if isinstance(column, JSON) else "plain"


def _rows(connection: Connection, table: Table) -> Iterator[bytes]:
    kinds = [_kind(column.type) for column in table.columns]
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=64)
    with connection.execute(query) as rows:
        for row in rows:
            values = [
                base64.b64encode(value).decode() if kind == "bytes" and value is not None else value
                for kind, value in zip(kinds, row, strict=True)
            ]
            yield json.dumps(values, separators=(",", ":")).encode() + b"\n"


def fill(connection: Connection, name: str, columns: Columns, lines: Iterable[bytes]) -> int:
    """Insert the rows of a table that is empty; return how many there were.

    Raises:
        BackupInvalid: there is no such table, or it has other columns, or a line is no row of it.
    """
    table = next((table for table in tables_of(connection) if table.name == name), None)
    if table is None or {column.name: _kind(column.type) for column in table.columns} != columns:
        raise BackupInvalid(f"the backup's table {name!r} is none that its version has; it is damaged, or no backup")
    statement, batch, size, count = insert(table), list[dict[str, Any]](), 0, 0
    for line in lines:
        batch.append(_row(name, columns, line))
        size, count = size + len(line), count + 1
        if size > BATCH_BYTES:
            connection.execute(statement, batch)
            batch, size = [], 0
    if batch:
        connection.execute(statement, batch)
    _go_on_counting(connection, table)
    return count


def _row(name: str, columns: Columns, line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
        if not isinstance(values, list) or len(values) != len(columns):
            raise ValueError("another number of columns")
        return {
            column: base64.b64decode(value, validate=True) if kind == "bytes" and value is not None else value
            for (column, kind), value in zip(columns.items(), values, strict=True)
        }
    except (ValueError, TypeError, RecursionError) as error:
        raise BackupInvalid(f"a line of the backup's table {name!r} is no row of it: {error}") from error


def _go_on_counting(connection: Connection, table: Table) -> None:
    """Have numbers that the database gives follow those that were put in; SQLite's do by themselves."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        if not isinstance(column.type, Integer) or isinstance(column.type, Boolean):
            continue
        named = {"table": table.name, "column": column.name}
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), named)
        last = connection.scalar(select(func.max(column)))
        if sequence is not None and last is not None:
            connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})
