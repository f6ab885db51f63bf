"""`atomic-margin institution entries`: what happened to the account, and the hashes that other commands take."""

from typing import Annotated

import typer

from atomic_margin.service.cli.agent_calls import Directory
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors, print_json


def entries(
    directory: Directory,
    last: Annotated[int, typer.Option(min=1, help="Show so many of the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Print what happened to the account: number, time, tick, what it was, and the hash of the entry.

    The hash is what `institution dispute` takes. The agent need not run; what it has not followed yet is not shown.
    """
    needs_extras("institution entries", "service")
    from atomic_margin.service.institution.entry_list import entries_of

    with plain_errors():
        found = entries_of(directory)[-last:]
    if as_json:
        print_json({"entries": [one.canonical() for one in found]})
        return
    for one in found:
        out.print(
            f"{one.number:>5}  {one.entered_at}  tick {one.tick:<4}  {one.kind:<24}  {one.entry}",
            soft_wrap=True,
            markup=False,
        )
    if not found:
        out.print("nothing happened yet that the agent followed")
