"""`atomic-margin bench zk`: proofs, with what is promised of each beside the figure."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from atomic_margin.bench.zk.benchmark import SIZES, SMALL, line, run_benchmark, write_json
from atomic_margin.service.cli.output import err, out, plain_errors


def zk(
    backend: Annotated[
        str, typer.Option(help="auto, arkworks (native) or reference (pure Python, small sizes).")
    ] = "auto",
    runs: Annotated[int, typer.Option(min=1, help="Of which the fastest counts.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write a list of figures to this file.")] = None,
) -> None:
    """Prove and verify every statement at several sizes; promised limits stand in brackets.

    Run it on an idle machine: proving uses two threads.

        atomic-margin bench zk --json zk.json
    """
    with plain_errors(named=True):
        sizes = SMALL if backend == "reference" else SIZES
        with Progress(console=err, transient=True) as bar:
            task = bar.add_task("proving and verifying", total=len(sizes))
            results = run_benchmark(backend, sizes, runs, lambda _: bar.advance(task))
        for result, size in zip(results, sizes, strict=True):
            out.print(line(result, size), soft_wrap=True, highlight=False, markup=False)
        if json_file is not None:
            write_json(results, json_file)
