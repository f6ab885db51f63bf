"""`atomic-margin operator key`: keys of the operator's staff, with scopes and an end. No server is asked.

They work on the file in the operator's directory, which a server that runs reads again by itself.
"""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.output import EXIT_REFUSED, fail, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError, RequestError
from atomic_margin.service.operator.staff import MAX_DAYS, Scope, StaffKeys

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Keys of the operator's staff.",
)

Directory = Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")]
KeyName = Annotated[str, typer.Option("--name", help="Who has it, or what for: letters, digits, - and _.")]


@app.command()
def new(
    directory: Directory,
    name: KeyName,
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeatable.", case_sensitive=False)],
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="For how long.")] = 30,
    out: Annotated[
        Path | None, typer.Option(help="Write the token there, readable by you alone, instead of printing it.")
    ] = None,
) -> None:
    """Make a key and print its token, which is kept nowhere.

        atomic-margin operator key new --dir operator-data --name monitoring --scope read --days 30

    `read` shows accounts, runs, ledger, bundles and metrics. `admit`: institutions, their agreements and parties.
    `deposit`: collateral and contributions that arrived. `ticks`: void ticks, price rules, universes. `settle`: sales,
    losses, close-outs, disputes, netting, books that are given up. `halt`: the kill switch.

    Exit status 0: made. 1: the name is taken, or there are too many keys. 2: the folder or its file is wrong.
    """
    with plain_errors():
        if out is not None:
            # Before there is a key, so that none is made whose token cannot be written down.
            out.touch(0o600, exist_ok=False)
        try:
            token = StaffKeys(directory).new(name, frozenset(scope), days)
        except BaseException as error:
            if out is not None:
                out.unlink()
            if isinstance(error, RequestError):
                fail(str(error), EXIT_REFUSED)
            raise
        if out is None:
            print_json({"name": name, "token": token})
        else:
            out.write_text(token + "\n")
            print_json({"name": name, "token_file": str(out)})


@app.command(name="list")
def list_keys(directory: Directory) -> None:
    """Print the keys: name, scopes, end. Tokens are kept nowhere, so none is printed.

    atomic-margin operator key list --dir operator-data
    """
    with plain_errors():
        if not directory.is_dir():
            raise ConfigurationError(f"{directory} is not there; --dir is the folder of `serve --dir`")
        keys = StaffKeys(directory).all()
        print_json([{"name": key.name, "scopes": list(key.scopes), "expires_at": key.expires_at} for key in keys])


@app.command()
def revoke(directory: Directory, name: KeyName) -> None:
    """Revoke a key: from the next request on its token opens nothing.

        atomic-margin operator key revoke --dir operator-data --name monitoring

    Exit status 0: revoked. 1: no key is named so. 2: the folder or its file is wrong.
    """
    with plain_errors():
        try:
            StaffKeys(directory).revoke(name)
        except RequestError as error:
            fail(str(error), EXIT_REFUSED)
        print_json({"revoked": name})
