"""`atomic-margin bench`: times what has to be fast."""

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from atomic_margin.bench.gap.speed import recompilations
from atomic_margin.service.cli import bench_fhe
from atomic_margin.service.cli.bench_opening import opening
from atomic_margin.service.cli.bench_service import service
from atomic_margin.service.cli.bench_zk import zk
from atomic_margin.service.cli.output import out, plain_errors
from atomic_margin.service.files import write_json

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

# Of one evaluation of `breach` on two cores: `evaluate_breach_s` of `bench service --profile 256x24x24`.
BREACH_SECONDS = 5.5
SHARE = 20


app.command()(zk)
app.command()(service)
app.command()(opening)
app.command()(bench_fhe.fhe)
app.command()(bench_fhe.report)


@app.callback()
def bench() -> None:
    """Time what has to be fast."""


@app.command()
def margin(
    instruments: Annotated[int, typer.Option(min=2, help="Of the universe.")] = 1000,
    rows: Annotated[int, typer.Option(min=2, help="Scenarios of the model.")] = 33,
    runs: Annotated[int, typer.Option(min=1, help="Of which the median is taken.")] = 9,
    breach_seconds: Annotated[float, typer.Option(help="One encrypted evaluation, seconds.")] = BREACH_SECONDS,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Recompile A and c of each model from prices to integers, all four matrices.

    Wanted: less than a twentieth of one encrypted evaluation.

        atomic-margin bench margin
    """
    limit = breach_seconds / SHARE
    with plain_errors(named=True):
        measured: list[dict[str, Any]] = []
        for model, work in recompilations(instruments, rows).items():
            seconds = []
            for _ in range(runs + 1):
                start = time.perf_counter()
                matrix = work().maintenance_fhe
                seconds.append(time.perf_counter() - start)
            measured.append(
                {
                    "model": model,
                    "instruments": instruments,
                    "scenarios": rows,
                    "rows": matrix.rows,
                    "entries": matrix.entries,
                    "cold_s": seconds[0],
                    "warm_s": statistics.median(seconds[1:]),
                    "wanted_s": limit,
                }
            )
        if json_file is not None:
            write_json(json_file, {"runs": runs, "breach_seconds": breach_seconds, "measured": measured})
    table = Table(box=None, pad_edge=False)
    for column in ("model", "instruments", "rows", "entries", "first, s", "median, s", "wanted, s"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for item in measured:
        sizes = (str(item[name]) for name in ("instruments", "rows", "entries"))
        table.add_row(item["model"], *sizes, *(f"{item[name]:.3f}" for name in ("cold_s", "warm_s", "wanted_s")))
    out.print(table)
