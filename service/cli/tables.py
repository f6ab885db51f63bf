"""Tables of commands, for people, as JSON, and drawn again while they change."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from atomic_margin.service.cli.output import out, plain_errors

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch",
        metavar="[SECONDS]",
        min=0.1,
        max=3600,
        help="Look again every 2 seconds, or so many, until Ctrl-C: drawn anew on a terminal, else a line for each "
        "change.",
    ),
]

Rows = Sequence[Sequence[str]]
Sections = Sequence[tuple[str, Sequence[str], Rows]]
"""Title, columns and rows of each table."""


def show(fetch: Callable[[], Any], sections: Callable[[Any], Sections], as_json: bool, watch: float | None) -> None:
    """Print what is fetched, once or again and again; Ctrl-C ends a watch with status 0.

    Args:
        fetch: asks the server; returns JSON.
        sections: makes tables of it.
        as_json: print JSON: one document, or with a watch one line for each that differs.
        watch: seconds between looks; None for one look.
    """
    with plain_errors():
        found = fetch()
        if watch is None:
            if as_json:
                sys.stdout.write(json.dumps(found, indent=2, sort_keys=True) + "\n")
            else:
                out.print(_drawn(sections(found)))
            return
        try:
            if as_json or not out.is_terminal:
                _lines(fetch, sections, found, as_json, watch)
            else:
                _redrawn(fetch, sections, found, watch)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def _redrawn(fetch: Callable[[], Any], sections: Callable[[Any], Sections], found: Any, watch: float) -> None:
    with Live(_drawn(sections(found)), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(watch)
            live.update(_drawn(sections(fetch())), refresh=True)


def _lines(
    fetch: Callable[[], Any], sections: Callable[[Any], Sections], found: Any, as_json: bool, watch: float
) -> None:
    """Print every row that was not there before; of JSON the whole document when it differs."""
    seen: set[str] = set()
    last = None
    while True:
        if as_json:
            lines = [json.dumps(found, sort_keys=True)]
            fresh, last = [line for line in lines if line != last], lines[0]
        else:
            lines = [
                " ".join(f"{column}={value}" for column, value in zip(columns, row, strict=True) if value)
                for _, columns, rows in sections(found)
                for row in rows
            ]
            fresh = [line for line in lines if line not in seen]
            # What is gone may come back, and is a change then.
            seen = set(lines)
        for line in fresh:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
        time.sleep(watch)
        found = fetch()


def _drawn(sections: Sections) -> Group:
    drawn: list[Any] = []
    for title, columns, rows in sections:
        # A column in which nothing stands takes room from the others.
        shown = [number for number in range(len(columns)) if not rows or any(row[number] for row in rows)]
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for number in shown:
            table.add_column(columns[number], overflow="fold", no_wrap=not number)
        for row in rows:
            # As it is: what others named may hold the console's own markup.
            table.add_row(*(Text(row[number]) for number in shown))
        drawn += [table, Text("" if rows else "  nothing yet")]
    return Group(*drawn)


def listed(held: dict[str, str]) -> str:
    """Return quantities by asset in one cell."""
    return " ".join(f"{asset}={quantity}" for asset, quantity in sorted(held.items()))
