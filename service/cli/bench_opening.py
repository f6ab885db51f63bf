"""`atomic-margin bench opening`: custodians' joint computation, with what is promised of it beside the figure."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors
from atomic_margin.service.files import write_json


def opening(
    runs: Annotated[int, typer.Option(min=1, help="Openings of each kind, of which the median is taken.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Open invented books with custodians as processes on loopback, from their start to the last verdict.

    Wanted of 24 maintenance and 24 initial rows of 36 bits: 4 s with 3 custodians of threshold 2, 8 s with 5 of 3. Run
    it on an idle machine.

        atomic-margin bench opening
    """
    needs_extras("bench opening", "custodian")
    from atomic_margin.bench.service.opening import SIZES, measure

    with plain_errors(named=True):
        measured = [measure(size, breach, runs) for size in SIZES for breach in (False, True)]
        for one in measured:
            size = one.size
            what = "breached" if one.breach else "covered"
            out.print(
                f"{len(size.points)} present, threshold {size.threshold}, {size.rows} + {size.rows} rows of "
                f"{size.bits} bits, {what}: {one.seconds:.2f} s ({size.wanted_s:.1f} wanted)",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
        if json_file is not None:
            write_json(json_file, {"load": os.getloadavg()[0], "measured": [asdict(one) for one in measured]})
