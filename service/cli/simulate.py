"""`atomic-margin simulate`: what ways of calling margin lead to, over invented accounts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.service.cli.output import err, out, plain_errors, print_json
from atomic_margin.service.cli.terms import read_terms
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import examples_folder, read_json, read_text, write_json
from atomic_margin.service.simulation.assumptions import Assumptions
from atomic_margin.service.simulation.cascade import Cascade, Outcome, regimes
from atomic_margin.service.simulation.picture import cascade_picture

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="What ways of calling margin lead to, over invented accounts.",
)

DEFAULTS = Assumptions()
PROFILE = "256x24x24"


@app.callback()
def simulate() -> None:
    """Have sub-commands, of which there is one so far."""


@app.command()
def cascade(
    accounts: Annotated[int, typer.Option(help="How many accounts.")] = DEFAULTS.accounts,
    seed: Annotated[
        int, typer.Option(min=0, help="Of all that is drawn; the same again gives the same.")
    ] = DEFAULTS.seed,
    ticks: Annotated[int, typer.Option(help="Length, a minute each.")] = DEFAULTS.ticks,
    crash: Annotated[
        float, typer.Option(help="By which fraction prices fall before anybody has to sell.")
    ] = DEFAULTS.crash,
    depth: Annotated[
        float, typer.Option(help="Notional, USD, whose sale within a tick moves a price by one per cent.")
    ] = DEFAULTS.depth_usd,
    lag: Annotated[
        int, typer.Option(help="Ticks from a call to its settlement where calls are not atomic.")
    ] = DEFAULTS.settlement_lag,
    assumptions: Annotated[
        Path | None, typer.Option(help="All of them, as `--json` prints them; options win.", show_default="those below")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Margin model.", show_default="the example's")] = None,
    json_file: Annotated[Path | None, typer.Option("--out", help="Write every tick to this file, as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture to this file, as SVG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print assumptions and figures for machines.")] = False,
) -> None:
    """Send accounts through a flash crash: with calls that settle at once, later, and with breakers.

        atomic-margin simulate cascade
        atomic-margin simulate cascade --seed 7 --crash 0.4 --plot cascade.svg

    Books are drawn; margin is the model's, and what happens to an account is up to the machine that the service runs.
    Whoever is liquidated has its book sold over some minutes, which moves prices for everybody. Assumptions are printed
    with the figures: they are not measured, and the figures are no better than they.
    """
    with plain_errors():
        given = _assumptions({} if assumptions is None else _read(assumptions))
        chosen: dict[str, Any] = {"accounts": accounts, "seed": seed, "ticks": ticks, "crash": crash}
        chosen |= {"depth_usd": depth, "settlement_lag": lag}
        given = replace(given, **{name: one for name, one in chosen.items() if one != getattr(DEFAULTS, name)})
        folder = examples_folder()
        terms = read_terms(
            model or folder / "model-scan.json",
            folder / "universe.json",
            folder / "collateral-schedule.json",
            profile_by_name(PROFILE).name,
        )
        played = Cascade(given, terms, read_json(folder / "market-1.json"))
        outcomes = _play(played)
        names = list(terms.universe.underlyings)
        summary = {
            "assumptions": given.as_json(),
            "underlyings": names,
            "regimes": {one.regime.name: {"is": one.regime.said, **one.summary()} for one in outcomes},
        }
        if json_file is not None:
            write_json(json_file, summary | {"ticks": {one.regime.name: _ticks(one) for one in outcomes}})
        if plot is not None:
            plot.write_text(cascade_picture(given, names, outcomes))
        if as_json:
            print_json(summary)
        else:
            out.print(_table(outcomes))
            out.print(
                f"{given.accounts} accounts, {given.ticks} minutes, seed {given.seed}. From minute {given.crash_at} to "
                f"{given.crash_end} prices fall by {given.crash:.0%}, and by 1 % more for each "
                f"{given.depth_usd / 1e6:,.0f} m USD that are sold within one. Nothing of this is measured: --json has "
                "every assumption.",
                soft_wrap=True,
            )


def _read(path: Path) -> object:
    """Return assumptions of a file; their numbers are plain ones, which no document of a protocol has."""
    try:
        said = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from error
    return said.get("assumptions", said) if isinstance(said, dict) else said


def _assumptions(said: object) -> Assumptions:
    if not isinstance(said, dict):
        raise ConfigurationError("assumptions are a JSON object, as `--json` prints them")
    unknown = sorted(set(said) - set(DEFAULTS.as_json()))
    if unknown:
        raise ConfigurationError(f"there is no assumption {unknown[0]!r}; there are {', '.join(DEFAULTS.as_json())}")
    try:
        fields: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in said.items()}
        return Assumptions(**fields)
    except TypeError as error:
        raise ConfigurationError(f"an assumption is no number: {error}") from error


def _play(played: Cascade) -> list[Outcome]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    outcomes = []
    with Progress(*columns, console=err, transient=True) as progress:
        for regime in regimes(played.assumptions):
            task = progress.add_task(regime.name, total=played.assumptions.ticks)
            outcomes.append(played.play(regime, lambda done, task=task: progress.update(task, completed=done)))  # type: ignore[misc]
    return outcomes


def _ticks(outcome: Outcome) -> list[dict[str, Any]]:
    return [one._asdict() for one in outcome.ticks]


ROWS = {
    "breaches": "breaches proven",
    "called_usd": "margin called and settled, USD",
    "liquidations": "accounts liquidated",
    "account_ticks_short": "account-minutes below margin",
    "peak_uncovered_usd": "most that was uncovered at once, USD",
    "forced_sales_usd": "sold or bought back by force, USD",
    "loss_usd": "lost by the operator, USD",
}


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for one in outcomes:
        table.add_column(one.regime.name, justify="right")
    summaries = [one.summary() for one in outcomes]
    for name, label in ROWS.items():
        table.add_row(label, *(f"{one[name]:,}" for one in summaries))
    table.add_row("lowest price, beginning = 1", *(f"{min(one['lowest_prices']):.3f}" for one in summaries))
    return table
