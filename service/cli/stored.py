"""Where commands that ask no server find what the operator has stored: by their options, or as `serve` was told."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomic_margin.service.cli.configuration import told
from atomic_margin.service.errors import ConfigurationError

if TYPE_CHECKING:
    from atomic_margin.service.operator.store.database import Store

AS_SERVED = "as `serve` is told, or in --dir"
Database = Annotated[str | None, typer.Option("--database", help="SQLAlchemy URL.", show_default=AS_SERVED)]
Blobs = Annotated[str | None, typer.Option("--blobs", help="URL of large bytes.", show_default=AS_SERVED)]


def database_of(directory: Path, database: str | None) -> str | None:
    """Return the URL of the database of an operator's folder, None for the SQLite file in it.

    Raises:
        ConfigurationError: the folder's configuration file is wrong.
    """
    return told("operator", "database", directory) if database is None else database


def blobs_of(directory: Path, blobs: str | None) -> str | None:
    """Return the URL of the large bytes of an operator's folder, None for the folder in it; see `database_of`."""
    return told("operator", "blobs", directory) if blobs is None else blobs


def open_store(directory: Path, database: str | None) -> "Store":
    """Open the database of an operator that has served; none is made.

    Raises:
        ConfigurationError: there is none.
    """
    from atomic_margin.service.operator.store.addresses import DATABASE_FILE
    from atomic_margin.service.operator.store.database import Store

    url = database_of(directory, database)
    if url is not None:
        return Store(url)
    if not (directory / DATABASE_FILE).is_file():
        raise ConfigurationError(
            f"{directory / DATABASE_FILE} is not there; --dir is the folder of `serve --dir`, and --database the URL "
            "that it has, if it has one"
        )
    return Store.in_directory(directory)
