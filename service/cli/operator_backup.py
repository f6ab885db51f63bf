"""`atomic-margin operator backup` and `restore`: an operator's data in one file. No server is asked."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import err, plain_errors, print_json
from atomic_margin.service.cli.stored import Blobs, Database, blobs_of, database_of

Directory = Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")]
NewDatabase = Annotated[str | None, typer.Option("--database", help="SQLAlchemy URL; by default SQLite in --dir.")]
NewBlobs = Annotated[str | None, typer.Option("--blobs", help="URL of large bytes; by default in --dir.")]


def backup(
    directory: Directory,
    to: Annotated[Path, typer.Option("--to", help="The file to write; it replaces none.")],
    database: Database = None,
    blobs: Blobs = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Put operator.key and admin.token in: the file is then the operator.")
    ] = False,
) -> None:
    """Write everything an operator has stored to one file, while it serves or not.

        atomic-margin operator backup --dir operator-data --to operator-2026-12-01.backup

    It is one state of the database, with the keys and ciphertexts of institutions that its rows name, and restores to
    SQLite and PostgreSQL alike. The operator's own key is not in it: keep operator.key and admin.token elsewhere.

    Exit status 0: written, and what is in it is printed. 2: nothing was written.
    """
    needs_extras("operator backup", "service")
    from atomic_margin.service.operator.backup import Place, back_up

    with plain_errors():
        place = Place(directory, database_of(directory, database), blobs_of(directory, blobs))
        print_json(back_up(place, to, with_keys=with_keys))


def restore(
    file: Annotated[Path, typer.Argument(help="What `operator backup` wrote.")],
    directory: Directory,
    database: NewDatabase = None,
    blobs: NewBlobs = None,
) -> None:
    """Make an operator's folder anew from a backup. Folder and database must be empty.

        atomic-margin operator restore operator-2026-12-01.backup --dir operator-data

    Every hash is checked before anything stays. Then put operator.key and admin.token back, unless they were in it, and
    start the operator: what was entered after the backup is missing, see "Restored from an older backup" in
    docs/operator.md.

    Exit status 0: restored, and the size of its log and the time of its last entry are printed. 2: nothing was made.
    """
    needs_extras("operator restore", "service")
    from atomic_margin.service.operator.backup import Place
    from atomic_margin.service.operator.backup import restore as restore_from

    with plain_errors():
        found = restore_from(file, Place(directory, database, blobs))
    print_json(found)
    if not found["with_keys"]:
        err.print(f"put operator.key and admin.token into {directory} before you start it", soft_wrap=True)
