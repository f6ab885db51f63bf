"""`atomic-margin gap`: how far integer rows lie below the true excess, over many books of every model."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from atomic_margin.bench.gap import (
    LEAST_REQUIREMENT,
    AccountExcess,
    Line,
    Share,
    Tally,
    case_accounts,
    generated_accounts,
)
from atomic_margin.margin.kinds import Books
from atomic_margin.margin.models.case import CaseModel
from atomic_margin.margin.models.registry import model_named, models
from atomic_margin.service.cli.examples import MARKET, example_documents, naming_cases, read_cases
from atomic_margin.service.cli.output import err, out, plain_errors
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_NOISE = 1e-9

HELP = """Measure the gap between true and integer margin, for every margin model.

Rounding gap: excess of the form before rounding, less excess of its integer rows. Model gap: excess of the plain
reference, less margin of the form before rounding. Both are of initial margin, in % of the requirement and of gross,
mean and worst over generated books; docs/gap.md explains them. Ends with an error if any gap is negative.

    atomic-margin gap --books 1000 --json gap.json

With --hedged the books are those of market makers, 10 m to 4.5 bn USD gross, delta and vega flat:

    atomic-margin gap --books 1000 --hedged

With --cases and --parameters the outside cases of pmrm are measured too:

    atomic-margin gap --model pmrm --cases cases.json --parameters parameters.json --set vectors
"""


@app.command(help=HELP)
def gap(
    books: Annotated[int, typer.Option(min=0, help="Generated books of each model.")] = 1000,
    hedged: Annotated[bool, typer.Option("--hedged", help="Books of market makers, delta and vega flat.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the generators.")] = 0,
    bits: Annotated[
        list[int] | None, typer.Option(help="Width of FHE rows, repeatable.", show_default="20 and 24")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model, repeatable.", show_default="all")] = None,
    market: Annotated[
        Path, typer.Option(help="Prices of the example universe.", show_default="examples/market-1.json")
    ] = MARKET,
    cases: Annotated[Path | None, typer.Option(help="Outside cases, of the first model that takes some.")] = None,
    parameters: Annotated[Path | None, typer.Option(help="Their parameter sets.")] = None,
    parameter_set: Annotated[str | None, typer.Option("--set", help="Name of their parameter set.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Measure and print; `HELP` is what the user reads."""
    with plain_errors(named=True):
        known = models()
        widths, names = tuple(bits or (20, 24)), tuple(model or known)
        if not set(widths) <= {20, 24} or not set(names) <= set(known):
            raise ConfigurationError(f"--bits is 20 or 24, --model one of {', '.join(known)}")
        documents = example_documents(market)
        kind: Books = "hedged" if hedged else "mixed"
        label = "generated, hedged" if hedged else "generated"
        sources: list[tuple[Tally, int, Iterable[AccountExcess]]] = [
            (Tally(name, label), books, generated_accounts(name, documents, books, seed, widths, kind))
            for name in names
            if books
        ]
        if cases is not None:
            rules = _case_rules(names)
            with naming_cases(cases, parameters, parameter_set):
                found = read_cases(rules, cases, parameters, parameter_set)
            sources.append((Tally(rules.NAME, "cases"), len(found), case_accounts(found, widths)))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err, transient=True) as progress:
            for tally, count, accounts in sources:
                task = progress.add_task(f"{tally.model}, {tally.books}", total=count)
                for account in accounts:
                    tally.add(account)
                    progress.advance(task)
                progress.remove_task(task)
        tallies = [tally for tally, _, _ in sources]
        if json_file is not None:
            write_json(
                json_file,
                {"books": books, "kind": kind, "seed": seed, "measured": [_figures(tally) for tally in tallies]},
            )
        for tally in tallies:
            _print(tally)


def _case_rules(names: tuple[str, ...]) -> type[CaseModel[Any, Any, Any, Any]]:
    """Return the first model of cases among those that are measured, or else of all."""
    for name in (*names, *models()):
        rules = model_named(name)
        if issubclass(rules, CaseModel):
            return rules
    raise ConfigurationError("no model takes cases; leave out --cases")


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "model": tally.model,
        "books": tally.books,
        "counted": tally.counted,
        "skipped": tally.skipped,
        "without_integers": tally.without_integers,
        "percent": [asdict(line) for line in tally.lines()],
    }


def _print(tally: Tally) -> None:
    """Print a table that is also Markdown, so that documentation can quote it."""
    out.print(
        f"{tally.model}, {tally.books}: {tally.counted} books; left out: {tally.skipped} that require less than "
        f"{100 * LEAST_REQUIREMENT:g} % of their gross, {tally.without_integers} without integers\n",
        soft_wrap=True,
    )
    head = ("rows", "bits", "rounding, % of requirement", "model", "both", "rounding, % of gross", "model")
    lines = [head, ("---",) * len(head)]
    lines += [(f"{line.form}, {line.place}", str(line.bits), *map(_pair, _shares(line))) for line in tally.lines()]
    for cells in lines:
        out.print("| " + " | ".join(cells) + " |", soft_wrap=True, markup=False)
    out.print()


def _shares(line: Line) -> tuple[Share, ...]:
    return line.rounding, line.model, line.total, line.rounding_of_gross, line.model_of_gross


def _pair(share: Share) -> str:
    """Return mean and worst; what is floating-point noise is 0."""
    return f"{_short(share.mean)} / {_short(share.worst)}" if share.worst > _NOISE else "0"


def _short(percent: float) -> str:
    return f"{percent:.6f}" if percent < 0.0001 else f"{percent:.4g}" if percent < 1 else f"{percent:.2f}"
