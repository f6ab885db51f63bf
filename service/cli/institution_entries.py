"""`atomic-margin institution entries` and `export`: what happened to the account, to read and to hand over."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.agent_calls import Directory
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.files import write_json


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


def export(
    directory: Directory,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    after: Annotated[int, typer.Option(min=0, help="Only entries after this number; the operator's log names it.")] = 0,
) -> None:
    """Write the entries of your account to a file, for an operator that was restored from an older backup.

        atomic-margin institution export --dir institution-data --to fund.account --after 40

    The operator takes them back with `serve --take-back`. The file has what the operator had, and no secret of yours:
    no position, no blinding, no key. It is as confidential as your balances are. The agent need not run.

    Exit status 0: written. 2: nothing was.
    """
    needs_extras("institution export", "service")
    from atomic_margin.service.institution.export import exported

    with plain_errors():
        found = exported(directory, after)
        to.touch(mode=0o600)
        write_json(to, found.canonical())
    out.print(f"{len(found.entries)} entries of {found.institution} and {len(found.ticks)} ticks written to {to}")
