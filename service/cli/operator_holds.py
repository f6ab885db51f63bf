"""`operator hold`, `operator unhold` and `operator holds`: accounts whose identity key may be somebody else's.

They work on a file in the operator's directory, which a server that runs reads again by itself; none is asked.
"""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.output import EXIT_REFUSED, fail, plain_errors, print_json
from atomic_margin.service.cli.stored import Database, open_store
from atomic_margin.service.errors import ConfigurationError, NotFound

Directory = Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")]
Institution = Annotated[str, typer.Argument(metavar="INSTITUTION", help="Its name here.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (hold, unhold, holds):
        app.command()(command)


def hold(
    institution: Institution,
    reason: Annotated[str, typer.Option(help="Why, one line; the institution is told.")],
    directory: Directory,
    key: Annotated[
        str | None, typer.Option(help="The identity key that it is to rotate to, as it told you by another way.")
    ] = None,
    database: Database = None,
) -> None:
    """Hold an account whose identity key somebody else may have.

        atomic-margin operator hold fund --reason "key reported stolen" --dir operator-data
        atomic-margin operator hold fund --reason "key reported stolen" --key 3b6a... --dir operator-data

    The server takes its answers and proofs of coverage, which prove themselves, and the rotation to --key; nothing
    else that it signs, and no other rotation. Whoever signs with --key is not held. Holding again replaces the hold:
    agree on a key with the institution by a way that is not this key's, and give it. Runs go on; halt to stop them too.

    Exit status 0: held. 1: there is no such account. 2: nothing was written.
    """
    from atomic_margin.service.operator.holds import Holds

    with plain_errors():
        try:
            _require_account(directory, database, institution)
        except NotFound as error:
            fail(str(error), EXIT_REFUSED)
        print_json(Holds(directory).hold(institution, reason, key).canonical())


def unhold(institution: Institution, directory: Directory) -> None:
    """Hold an account no more.

        atomic-margin operator unhold fund --dir operator-data

    Exit status 0: it is free. 1: it was not held. 2: nothing was written.
    """
    from atomic_margin.service.operator.holds import Holds

    with plain_errors():
        _require_folder(directory)
        try:
            Holds(directory).end(institution)
        except NotFound as error:
            fail(str(error), EXIT_REFUSED)
        print_json({"institution": institution, "held": False})


def holds(directory: Directory) -> None:
    """Print the accounts that are held: why, since when, and for which key.

        atomic-margin operator holds --dir operator-data

    Exit status 0: printed. 2: the folder or its file is wrong.
    """
    from atomic_margin.service.operator.holds import Holds

    with plain_errors():
        _require_folder(directory)
        print_json([one.canonical() for one in Holds(directory).all()])


def _require_folder(directory: Path) -> None:
    if not directory.is_dir():
        raise ConfigurationError(f"{directory} is not there; --dir is the folder of `serve --dir`")


def _require_account(directory: Path, database: str | None, institution: str) -> None:
    """Make sure that there is such an account: a name that is none would hold nobody.

    Raises:
        ConfigurationError: there is no database there.
        NotFound: there is no such account.
    """
    from sqlalchemy import select

    from atomic_margin.service.operator.store.tables import Account

    store = open_store(directory, database)
    try:
        with store.reading() as session:
            if session.get(Account, institution) is None:
                known = ", ".join(session.scalars(select(Account.institution).order_by(Account.institution).limit(8)))
                raise NotFound(f"there is no account {institution!r} here; there are: {known or 'none'}")
    finally:
        store.close()
