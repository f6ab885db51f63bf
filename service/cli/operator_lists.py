"""Commands of `atomic-margin operator` that list: accounts, runs, the ledger, bundles."""

import re
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from atomic_margin.service.cli.calls import call
from atomic_margin.service.cli.output import EXIT_REFUSED, out, plain_errors, print_json
from atomic_margin.service.cli.tables import AsJson, Sections, Watch, listed, show
from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.files import replace_json
from atomic_margin.service.http.tokens import read_token

Directory = Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")]
Address = Annotated[str, typer.Option("--operator", help="Address of the operator's server.")]
Institution = Annotated[str | None, typer.Option("--institution", help="Of one account alone.")]

DEFAULT_OPERATOR = "http://127.0.0.1:8400"
TOKEN_FILE = "admin.token"  # noqa: S105  # the name of the file, not a token
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MOST_PAGES = 500
"""Of accounts: 200 a page."""
LOOK_SECONDS = 0.5


def ask(directory: Path, operator: str, command: str, path: str) -> Any:
    """Return what the operator answers to its own staff."""
    return call(
        f"operator {command}",
        "GET",
        operator.rstrip("/") + path,
        token=read_token(directory / TOKEN_FILE),
        whom="the operator",
        advice="start the operator with `atomic-margin serve`, or give its address with --operator",
    )


def accounts(
    directory: Directory, as_json: AsJson = False, watch: Watch = None, operator: Address = DEFAULT_OPERATOR
) -> None:
    """Show the admitted institutions: state, collateral, open run and its deadline.

    atomic-margin operator accounts --dir operator-data
    """

    def fetch() -> Any:
        found: list[Any] = []
        for _ in range(MOST_PAGES):
            after = urlencode({"after": found[-1]["institution"]}) if found else ""
            page = ask(directory, operator, "accounts", f"/v1/accounts?{after}")
            found += page["accounts"]
            if not page["more"]:
                break
        return {"accounts": found}

    def sections(found: Any) -> Sections:
        columns = ("account", "name", "state", "posted", "free", "run", "stage", "deadline")
        rows = [
            (
                one["institution"],
                one["name"],
                one["state"],
                listed(one["collateral"]["posted"]),
                listed(one["collateral"]["free"]),
                one["run"] or "",
                one["stage"] or "",
                one["deadline"] or "",
            )
            for one in found["accounts"]
        ]
        return [("Accounts", columns, rows)]

    show(fetch, sections, as_json, watch)


def runs(
    directory: Directory,
    institution: Institution = None,
    as_json: AsJson = False,
    watch: Watch = None,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Show the newest fifty runs, the newest ticks first: state, deadline, seconds, settlement.

    atomic-margin operator runs --dir operator-data --watch 2
    """

    def fetch() -> Any:
        only = "" if institution is None else urlencode({"institution": institution})
        return ask(directory, operator, "runs", f"/v1/runs?{only}")

    def sections(found: Any) -> Sections:
        columns = ("run", "tick", "state", "deadline", "seconds", "settlement", "top-up", "bundle", "problem")
        rows = [
            (
                one["run_id"],
                one["price_sequence"],
                one["state"],
                one["deadline"] or "",
                f"{sum(map(float, one['seconds'].values())):.2f}" if one["seconds"] else "",
                one["settlement"] or "",
                one["top_up_usd"] or "",
                "published" if one["published"] else "",
                one["problem"] or "",
            )
            for one in found["runs"]
        ]
        return [("Runs", columns, rows)]

    show(fetch, sections, as_json, watch)


def ledger(
    directory: Directory, as_json: AsJson = False, watch: Watch = None, operator: Address = DEFAULT_OPERATOR
) -> None:
    """Show every balance of the ledger, and the sum of every asset, which is zero.

    atomic-margin operator ledger --dir operator-data
    """

    def sections(found: Any) -> Sections:
        rows = [
            (account, asset, quantity)
            for account, held in sorted(found["accounts"].items())
            for asset, quantity in sorted(held.items())
        ]
        return [
            ("Balances, smallest units", ("account", "asset", "balance"), rows),
            ("Sums over all accounts", ("asset", "sum"), sorted(found["totals"].items())),
        ]

    show(lambda: ask(directory, operator, "ledger", "/v1/ledger"), sections, as_json, watch)


def bundles(
    directory: Directory,
    run: Annotated[
        list[str] | None, typer.Argument(help="Runs; by default those of the newest fifty that have one.")
    ] = None,
    institution: Institution = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write each to this folder, as RUN.json, unless it is there.")
    ] = None,
    wait: Annotated[
        int, typer.Option(min=0, max=3600, help="With --save: seconds to wait for the first one to be cosigned.")
    ] = 0,
    as_json: AsJson = False,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """List the published bundles, or save them for whoever runs `atomic-margin verify`.

        atomic-margin operator bundles --save bundles --dir operator-data

    A bundle is saved once its entries are in a checkpoint with enough cosignatures, which those that verify may ask
    for. Exit status 1: with --save, nothing is there to be saved.
    """

    def published() -> list[Any]:
        if run:
            return [{"run_id": name} for name in run]
        only = "" if institution is None else urlencode({"institution": institution})
        found = ask(directory, operator, "bundles", f"/v1/runs?{only}")["runs"]
        return [one for one in found if one["published"]]

    with plain_errors():
        wrong = [name for name in run or [] if not _RUN.fullmatch(name)]
        if wrong:
            raise ConfigurationError(f"{wrong[0]!r} is no name of a run, such as fund.7")
        if save is None:
            found = published()
            if as_json:
                print_json({"bundles": [one["run_id"] for one in found]})
            else:
                for one in found:
                    out.print(one["run_id"], markup=False)
            return
        save.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + wait
        while True:
            saved, waiting = _saved(directory, operator, [one["run_id"] for one in published()], save)
            if saved or time.monotonic() >= deadline:
                break
            time.sleep(LOOK_SECONDS)
    if as_json:
        print_json({"saved": saved, "not_cosigned": waiting})
    else:
        for name in saved:
            out.print(f"{save / name}.json", soft_wrap=True, markup=False)
        for name in waiting:
            out.print(f"{name}: not in a cosigned checkpoint yet", soft_wrap=True, markup=False)
        if not saved and not waiting:
            out.print("no bundle is published yet")
    if not saved:
        raise typer.Exit(EXIT_REFUSED)


def _saved(directory: Path, operator: str, names: list[str], folder: Path) -> tuple[list[str], list[str]]:
    """Write what is there; return the runs whose bundles are in the folder, and those that wait for cosignatures."""
    saved, waiting = [], []
    for name in names:
        if not _RUN.fullmatch(name):
            raise RemoteError(f"the operator names a run {name!r}, which could be no file here")
        path = folder / f"{name}.json"
        if not path.exists():
            bundle = ask(directory, operator, "bundles", f"/v1/attestations/{quote(name, safe='')}")
            if bundle.get("log") is None:
                waiting.append(name)
                continue
            replace_json(path, bundle)
        saved.append(name)
    return saved, waiting


def register(app: typer.Typer) -> None:
    """Add the commands to those of an operator."""
    for command in (accounts, runs, ledger, bundles):
        app.command()(command)
