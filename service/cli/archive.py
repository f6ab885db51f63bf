"""`atomic-margin archive`: one signed file with everything that happened to an account over a period."""

from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import err, out, plain_errors, print_json
from atomic_margin.service.cli.stored import Database, database_of
from atomic_margin.service.cli.terms import read_documents
from atomic_margin.service.errors import ConfigurationError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = """Write everything that happened to an account over a period into one signed file.

    atomic-margin archive --account fund --from 2026-11-01 --to 2026-11-30 --dir operator-data
    atomic-margin verify fund.archive.zip --trust trust.json

Reads the operator's data directory, running or stopped, and writes nothing to it. In the file are all entries of the
account with their documents, the ticks they name, each entry's place in the log, and the state before the first, so
that `verify` replays it offline to the same states and balances; and in reports/ the statement of each day, and notice,
response and settlement of each run that was not covered in time, which `verify` makes again. It shows free collateral,
and no position. Days are in UTC; without --from it begins with the account. If a run is open or owed when the period
begins, it begins with the entry of that run's record.

Exit status 0: written. 2: nothing was written, and why.
"""


@app.command(help=HELP)
def archive(
    account: Annotated[str, typer.Option(help="The institution whose account it is.")],
    directory: Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")],
    begins: Annotated[
        str | None, typer.Option("--from", help="First day or moment, as 2026-11-01 or 2026-11-01T08:00:00Z.")
    ] = None,
    ends: Annotated[str | None, typer.Option("--to", help="Last day or moment, likewise.", show_default="now")] = None,
    path: Annotated[
        Path | None, typer.Option("--out", help="Where to write it.", show_default="ACCOUNT.archive.zip")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Margin model.", show_default="from a stored bundle")] = None,
    universe: Annotated[Path | None, typer.Option(help="Instruments.", show_default="from a stored bundle")] = None,
    schedule: Annotated[Path | None, typer.Option(help="Collateral.", show_default="from a stored bundle")] = None,
    database: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written for machines.")] = False,
) -> None:
    """Write an archive; `HELP` is what the user reads."""
    needs_extras("archive", "fhe", "service")
    from atomic_margin.service.audit.archive import Period, make_archive
    from atomic_margin.service.audit.stored import ReadOnlyStore
    from atomic_margin.service.protocol.signing import Identity

    with plain_errors():
        now = datetime.now(timezone.utc)
        period = Period(
            datetime(1970, 1, 1, tzinfo=timezone.utc) if begins is None else _moment(begins, "--from", False),
            now if ends is None else _moment(ends, "--to", True),
        )
        if period.begins > period.ends:
            raise ConfigurationError("--from is after --to")
        given = (model, universe, schedule)
        if None in given and given != (None, None, None):
            raise ConfigurationError("give all three of --model, --universe and --schedule, or none")
        documents = None
        if model is not None and universe is not None and schedule is not None:
            documents = read_documents(model, universe, schedule)
        key = directory / "operator.key"
        if not key.is_file():
            raise ConfigurationError(f"{key} is not there; --dir is the folder of `serve --dir`")
        written = path or Path(f"{account}.archive.zip")
        store = ReadOnlyStore(directory, database_of(directory, database))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        try:
            with Progress(*columns, console=err, transient=True) as progress:
                task = progress.add_task("entries", total=None)

                def told(what: str, done: int, all_: int) -> None:
                    progress.update(task, description=what, completed=done, total=all_)

                signed = make_archive(store, account, period, written, Identity.load_or_create(key), documents, told)
        finally:
            store.close()
        body = signed.body
        size = written.stat().st_size
        if as_json:
            said = {name: body[name] for name in ("institution", "first", "last", "log", "made_at")}
            print_json({"archive": str(written), "bytes": str(size), "manifest": signed.body_hash(), **said})
        else:
            out.print(
                f"{written}: entries {body['first']} to {body['last']} of {account}, {size / 1e6:.1f} MB; check it "
                f"with `atomic-margin verify {written} --trust FILE`",
                soft_wrap=True,
                markup=False,
            )


def _moment(text: str, option: str, end: bool) -> datetime:
    """Return the moment that an option says; of a day its end or its beginning."""
    try:
        if len(text) == 10:
            day = datetime.combine(datetime.strptime(text, "%Y-%m-%d").date(), time(tzinfo=timezone.utc))
            return day + timedelta(days=1, seconds=-1) if end else day
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise ConfigurationError(
            f"{option} takes a day as 2026-11-01 or a moment in UTC as 2026-11-01T08:00:00Z, got {text[:40]!r}"
        ) from None
