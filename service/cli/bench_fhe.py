"""`atomic-margin bench fhe` and `bench report`: circuits in real FHE, and the page of what was measured.

What needs the FHE library is imported when a command runs, so that the other benches do without it.
"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_REFUSED, err, out, plain_errors
from atomic_margin.service.cli.progress import Progress
from atomic_margin.service.files import write_json

if TYPE_CHECKING:
    from atomic_margin.bench.fhe.run import Module


class Scaling(str, Enum):
    """Directions in which sizes vary."""

    entries = "entries"
    rows = "rows"
    bits = "bits"
    all = "all"


Names = list[str]


def fhe(
    profile: Annotated[Names | None, typer.Option(help="Sizes; may be repeated. `all`: every profile.")] = None,
    circuit: Annotated[Names | None, typer.Option(help="Only this circuit; may be repeated.")] = None,
    circuit_file: Annotated[Path | None, typer.Option(help="Python file that defines circuits: these alone.")] = None,
    scaling: Annotated[Scaling | None, typer.Option(help="Also at every other size in this direction.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also baselines, leveled-only and CKKS.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Warm runs, of which the median is taken.")] = 5,
    trials: Annotated[int, typer.Option(min=1, help="Results compared with integers; timed runs count.")] = 6,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write a list of figures to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw charts, SVG and PNG, into this directory.")] = None,
    compile_timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds that compiling and making keys may take, for each module.")
    ] = None,
    cached_keys: Annotated[bool, typer.Option("--cached-keys", help="Keep throw-away keys for the next run.")] = False,
) -> None:
    """Compile, make keys, evaluate cold and warm, and compare with integers; every module in fresh processes.

    Run it on an idle machine. By default all circuits at 64 entries x 16 rows x 20 bits; the file grows as it goes.

        atomic-margin bench fhe --compare --json fhe.json
    """
    needs_extras("bench fhe", "fhe", *["bench"] * (compare or plot is not None))
    with plain_errors():
        results = _measure(
            profile or [],
            circuit or [],
            circuit_file,
            scaling.value if scaling else None,
            compare,
            {"runs": runs, "trials": trials},
            cached_keys,
            compile_timeout,
            json_file,
        )
        _show(results)
        if plot is not None:
            _draw(results, plot, ("svg", "png"))
    if any("failed" in figures for figures in results):
        raise typer.Exit(EXIT_REFUSED)


def report(
    files: Annotated[
        list[Path], typer.Argument(help="That `bench fhe --json` wrote; of figures twice, the last count.")
    ],
    out_file: Annotated[Path, typer.Option("--out", help="The page to write.")],
    notes: Annotated[
        Path | None, typer.Option(help="Markdown for the end of the page; by default notes.md beside the first file.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the page's charts, SVG, into this directory.")] = None,
) -> None:
    """Write the page of benchmarks from files of figures.

    atomic-margin bench report docs/benchmarks/fhe.json --out docs/benchmarks.md
    """
    needs_extras("bench report", "fhe", *["bench"] * (plot is not None))
    with plain_errors():
        from atomic_margin.bench.fhe.report import page, read_measurements

        results = read_measurements(files)
        beside = files[0].parent / "notes.md"
        source = notes or (beside if beside.is_file() else None)
        out_file.write_text(page(results, source.read_text() if source else ""))
        if plot is not None:
            _draw(results, plot, ("svg",))
    out.print(f"wrote {out_file}", soft_wrap=True, markup=False)


def _measure(
    profiles: Names,
    circuits: Names,
    circuit_file: Path | None,
    scaling: str | None,
    compare: bool,
    counts: dict[str, int],
    cached_keys: bool,
    compile_timeout: float | None,
    json_file: Path | None,
) -> list[dict[str, Any]]:
    from atomic_margin.bench.fhe.plan import plan, profiles_named
    from atomic_margin.bench.fhe.run import ckks, leveled_only, measure

    sizes = profiles_named(profiles)
    modules: list[Module] = plan(sizes, circuits, scaling=scaling, compare=compare, circuit_file=circuit_file)
    results: list[dict[str, Any]] = []

    def keep(figures: dict[str, Any]) -> None:
        results.append(figures)
        if json_file is not None:
            write_json(json_file, results)

    with Progress(err) as progress:
        total, over = sum(module.steps for module in modules) + compare * len(sizes), 0

        def say(what: str) -> None:
            progress.say(f"{over} of {total} done, {what}")

        def done() -> None:
            nonlocal over
            over += 1

        for module in modules:
            measured = measure(
                module, **counts, cached_keys=cached_keys, compile_timeout=compile_timeout, say=say, done=done
            )
            for figures in measured:
                keep(figures)
                if compare and figures["circuit"] == "surplus" and module.sizes in sizes and "warm_s" in figures:
                    keep(leveled_only(figures))
        for size in sizes if compare else []:
            keep(ckks(size, **counts, say=say))
            done()
    return results


def _show(results: list[dict[str, Any]]) -> None:
    from atomic_margin.bench.fhe.promises import verdicts
    from atomic_margin.bench.fhe.tables import (
        CIRCUIT_COLUMNS,
        MODULE_COLUMNS,
        circuit_rows,
        module_rows,
        remarks,
        size_of,
    )

    for size in dict.fromkeys(map(size_of, results)):
        here = [figures for figures in results if size_of(figures) == size]
        _print_table(size, list(MODULE_COLUMNS), module_rows(here))
        _print_table("", list(CIRCUIT_COLUMNS), circuit_rows(here))
        for name, text in remarks(here):
            out.print(f"{name}: {text}", soft_wrap=True, markup=False)
        out.print()
    for verdict in verdicts(results):
        word = "met" if verdict.met else "not met"
        out.print(f"{word}: {verdict.promise}: {verdict.measured}", soft_wrap=True, markup=False)


def _print_table(title: str, columns: Names, rows: list[Names]) -> None:
    if rows:
        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for number, column in enumerate(columns):
            header = column.replace(", ", ",\n")
            table.add_column(header, justify="right" if number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        out.print(table)


def _draw(results: list[dict[str, Any]], directory: Path, endings: tuple[str, ...]) -> None:
    from atomic_margin.bench.fhe.charts import charts, draw

    wanted = charts(results)
    if not wanted:
        out.print("nothing was measured, so there is no chart", soft_wrap=True)
    for path in draw(wanted, directory, endings):
        out.print(f"drew {path}", soft_wrap=True, markup=False)
