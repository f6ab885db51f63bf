"""`atomic-margin report`: an account's calls, responses, settlements, days and weeks, as documents that people file."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.extras import missing_modules, needs_extras
from atomic_margin.service.cli.output import err, out, plain_errors
from atomic_margin.service.cli.report_sources import Sources
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import write_json
from atomic_margin.service.reports import call as calls
from atomic_margin.service.reports import cdm, daily, iso20022, response, settlement, weekly
from atomic_margin.service.reports.facts import AccountFacts
from atomic_margin.service.reports.html import html
from atomic_margin.service.reports.page import Page
from atomic_margin.service.reports.parts import JsonObject, as_object
from atomic_margin.service.reports.pdf import pdf

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Documents about an account: call notice, response, settlement, daily statement, weekly totals.",
)

Run = Annotated[str, typer.Argument(help="Identifier of the run, as in fund.7.")]
Released = Annotated[
    list[Path] | None,
    typer.Option("--history", help="A history that an institution released (`institution history`); repeatable."),
]
Bundles = Annotated[
    list[Path] | None,
    typer.Option(help="Attestation bundles, or folders of them: their ticks and schedule are used; repeatable."),
]
Ticks = Annotated[
    list[Path] | None, typer.Option("--tick", help="A tick as the operator signed it, or a folder; repeatable.")
]
ScheduleFile = Annotated[
    Path | None, typer.Option("--schedule", help="The collateral schedule.", show_default="from a bundle")
]
Trust = Annotated[
    Path | None,
    typer.Option(help="Your trust file: whose histories are read, under which schedule.", show_default="none"),
]
Address = Annotated[str | None, typer.Option("--operator", help="Address of the operator's server, to ask instead.")]
Directory = Annotated[Path | None, typer.Option("--dir", help="With --operator: the operator's folder, for its token.")]
Account = Annotated[
    list[str] | None, typer.Option(help="Name of the institution; needed with --operator; repeatable for a week.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="File to write, in the form of its suffix: .json, .html, .pdf, or .xml with --iso."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report for machines.")]
Cdm = Annotated[bool, typer.Option("--cdm", help="As an object of the FINOS CDM.")]
Iso = Annotated[bool, typer.Option("--iso", help="Under the names of ISO 20022.")]


@dataclass(frozen=True)
class Made:
    """A report, how it is shown, and what it is in the words of others."""

    report: JsonObject
    page: Page
    in_cdm: Callable[[], tuple[str, JsonObject]] | None = None
    in_iso: Callable[[], tuple[str, JsonObject]] | None = None


def _deliver(command: str, made: Made, path: Path | None, as_json: bool, as_cdm: bool, as_iso: bool) -> None:
    """Write or print a report in the form that was asked for.

    Raises:
        ConfigurationError: that form is none, or this report has none.
        NothingToReport: what was asked for cannot be said in those words.
    """
    if as_cdm and as_iso:
        raise ConfigurationError("--cdm and --iso are two forms: ask for one")
    value, message = made.report, None
    if as_cdm:
        if made.in_cdm is None:
            raise ConfigurationError(f"the CDM has no object for `{command}`")
        value = _checked(*made.in_cdm())
    elif as_iso:
        if made.in_iso is None:
            raise ConfigurationError(f"colr.003 and colr.004 have no message for `{command}`")
        message, value = made.in_iso()
    suffix = None if path is None else path.suffix.lower()
    plain = not (as_cdm or as_iso)
    if path is None:
        if as_json or not plain:
            print_json_in_order(value)
        else:
            _show(made.page)
    elif suffix == ".json":
        write_json(path, value)
    elif suffix == ".xml" and message is not None:
        path.write_text(iso20022.xml(message, value), encoding="utf-8")
    elif suffix == ".html" and plain:
        path.write_text(html(made.page), encoding="utf-8")
    elif suffix == ".pdf" and plain:
        needs_extras(command, "reports")
        path.write_bytes(pdf(made.page))
    else:
        forms = ".json, .html or .pdf" if plain else ".json" if as_cdm else ".json or .xml"
        raise ConfigurationError(f"{path}: write {forms} here")


def _checked(name: str, value: JsonObject) -> JsonObject:
    """Hold an object of the CDM against its model where the library is there, and say so where it is not."""
    if missing_modules("cdm"):
        err.print(
            "not checked against the model of the CDM: pip install 'atomic-margin[cdm]', on Python 3.11 or later",
            soft_wrap=True,
            markup=False,
        )
    else:
        cdm.checked(name, value)
    return value


def print_json_in_order(value: JsonObject) -> None:
    """Print JSON whose names keep their order: it is part of an ISO 20022 message."""
    typer.echo(json.dumps(value, indent=2))


def _show(page: Page) -> None:
    from rich.markup import escape
    from rich.table import Table

    out.print(f"[bold]{escape(page.title)}[/]: {escape(page.subtitle)}", soft_wrap=True)
    for name, text in page.facts:
        out.print(f"  {escape(name)}: {escape(text)}", soft_wrap=True)
    for table in page.tables:
        grid = Table(title=escape(table.caption), title_justify="left", box=None, pad_edge=False)
        for at, header in enumerate(table.headers):
            grid.add_column(escape(header), justify="right" if at in table.numbers else "left")
        for row in table.rows:
            grid.add_row(*map(escape, row))
        out.print()
        out.print(grid if table.rows else f"{escape(table.caption)}: {escape(table.empty)}")
    for note in page.notes:
        out.print(f"\n{escape(note)}", soft_wrap=True)


@app.command(name="call")
def call_notice(
    run: Run,
    history: Released = None,
    bundles: Bundles = None,
    tick: Ticks = None,
    schedule: ScheduleFile = None,
    trust: Trust = None,
    operator: Address = None,
    directory: Directory = None,
    account: Account = None,
    to: Out = None,
    as_json: AsJson = False,
    as_cdm: Cdm = False,
    as_iso: Iso = False,
) -> None:
    """Make the notice of a margin call: that a run has to be answered, and, once a breach is proven, for how much.

        atomic-margin report call fund.2 --history fund.json --bundles attestations/ --out call.pdf

    Exit status 0: made. 1: the operator refuses. 2: nothing was made; one sentence says why.
    """
    command = "report call"
    with plain_errors():
        sources = Sources(history, bundles, tick, schedule, trust, operator, directory, account, command, run)
        facts, prices = sources.one()
        made = calls.call_notice(facts, prices, run)
        _deliver(
            command,
            Made(
                as_object(made),
                calls.page(made),
                lambda: (cdm.ISSUANCE, cdm.issuance(made)),
                lambda: (iso20022.REQUEST, iso20022.request(made)),
            ),
            to,
            as_json,
            as_cdm,
            as_iso,
        )


@app.command(name="response")
def call_response(
    run: Run,
    history: Released = None,
    bundles: Bundles = None,
    tick: Ticks = None,
    schedule: ScheduleFile = None,
    trust: Trust = None,
    operator: Address = None,
    directory: Directory = None,
    account: Account = None,
    to: Out = None,
    as_json: AsJson = False,
    as_cdm: Cdm = False,
    as_iso: Iso = False,
) -> None:
    """Make the response to a run: covered, so that there is no call, or a breach, agreed in full.

        atomic-margin report response fund.2 --history fund.json --bundles attestations/ --iso --out response.xml

    Exit status 0: made. 1: the operator refuses. 2: nothing was made; one sentence says why.
    """
    command = "report response"
    with plain_errors():
        sources = Sources(history, bundles, tick, schedule, trust, operator, directory, account, command, run)
        facts, prices = sources.one()
        made = response.call_response(facts, prices, run)
        _deliver(
            command,
            Made(
                as_object(made),
                response.page(made),
                lambda: (
                    cdm.RESPONSE,
                    cdm.response(made, settlement.settlement_advice(facts, prices, run), prices),
                ),
                lambda: (iso20022.RESPONSE, iso20022.response(made)),
            ),
            to,
            as_json,
            as_cdm,
            as_iso,
        )


@app.command(name="settlement")
def settlement_advice(
    run: Run,
    history: Released = None,
    bundles: Bundles = None,
    tick: Ticks = None,
    schedule: ScheduleFile = None,
    trust: Trust = None,
    operator: Address = None,
    directory: Directory = None,
    account: Account = None,
    to: Out = None,
    as_json: AsJson = False,
    as_cdm: Cdm = False,
) -> None:
    """Make the advice of what settled a run, with the balances before and after.

        atomic-margin report settlement fund.2 --history fund.json --bundles attestations/ --out settlement.html

    Exit status 0: made. 1: the operator refuses. 2: nothing was made; one sentence says why.
    """
    command = "report settlement"
    with plain_errors():
        sources = Sources(history, bundles, tick, schedule, trust, operator, directory, account, command, run)
        facts, prices = sources.one()
        made = settlement.settlement_advice(facts, prices, run)
        shown = Made(as_object(made), settlement.page(made), lambda: (cdm.PORTFOLIO, cdm.portfolio(made, prices)))
        _deliver(command, shown, to, as_json, as_cdm, False)


@app.command(name="daily")
def daily_statement(
    day: Annotated[str, typer.Option(help="The day, in UTC: 2026-11-28.")],
    history: Released = None,
    bundles: Bundles = None,
    tick: Ticks = None,
    schedule: ScheduleFile = None,
    trust: Trust = None,
    operator: Address = None,
    directory: Directory = None,
    account: Account = None,
    to: Out = None,
    as_json: AsJson = False,
    as_cdm: Cdm = False,
) -> None:
    """Make the statement of a day: balances, movements, runs, calls, settlements, worth, and what is owed.

        atomic-margin report daily --day 2026-11-28 --operator http://127.0.0.1:8400 --dir operator-data \
            --account fund --out fund-2026-11-28.pdf

    Balances reconcile, or there is no statement.

    Exit status 0: made. 1: the operator refuses. 2: nothing was made; one sentence says why.
    """
    command = "report daily"
    with plain_errors():
        of = _day(day)
        sources = Sources(history, bundles, tick, schedule, trust, operator, directory, account, command, day=of)
        facts, prices = sources.one()
        made = daily.daily_statement(facts, prices, of)
        shown = Made(as_object(made), daily.page(made), lambda: (cdm.PORTFOLIO, cdm.portfolio(made, prices)))
        _deliver(command, shown, to, as_json, as_cdm, False)


@app.command(name="weekly")
def weekly_totals(
    week: Annotated[str, typer.Option(help="The week of ISO 8601: 2026-W48.")],
    history: Released = None,
    bundles: Bundles = None,
    tick: Ticks = None,
    schedule: ScheduleFile = None,
    trust: Trust = None,
    operator: Address = None,
    directory: Directory = None,
    account: Account = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME=CLASS", help="Class of an account, such as futures; repeatable."),
    ] = None,
    to: Out = None,
    as_json: AsJson = False,
) -> None:
    """Make the totals of a week: digital assets held, by class of account and asset, for the CFTC's pilot.

        atomic-margin report weekly --week 2026-W48 --operator http://127.0.0.1:8400 --dir operator-data \
            --account fund --account other --class fund=futures --class other=cleared-swaps --out week.pdf

    Exit status 0: made. 1: the operator refuses. 2: nothing was made; one sentence says why.
    """
    command = "report weekly"
    with plain_errors():
        _, sunday = weekly.week_of(week)
        sources = Sources(history, bundles, tick, schedule, trust, operator, directory, account, command, day=sunday)
        facts, prices = sources.read()
        made = weekly.weekly_totals(facts, prices, week, _classes(classes or [], facts))
        _deliver(command, Made(as_object(made), weekly.page(made)), to, as_json, False, False)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    # Before the first day there is none for opening balances.
    if day == date.min:
        raise ConfigurationError(f"write a day such as 2026-11-28, got {text!r}")
    return day


def _classes(pairs: list[str], facts: list[AccountFacts]) -> dict[str, str]:
    found = {}
    known = {one.institution for one in facts}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not value or name not in known or name in found:
            raise ConfigurationError(f"--class is NAME=CLASS of an account that is given, each once; got {pair!r}")
        found[name] = value
    return found
