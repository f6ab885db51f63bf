"""Write the state diagram of accounts in docs/protocol.md from the machine's table: `scripts/state_diagram.py`.

It stands between two comments: a mermaid diagram of what changes a status, and a table of what changes none. `--check`
only compares. Exit status 1 if the page differs or the comments are missing.
"""

import sys
from collections.abc import Iterator

from generated import PAGE, Missing, write_page

from atomic_margin.service.protocol.account.table import TABLE
from atomic_margin.service.protocol.states import AccountState

START = "<!-- states -->"
END = "<!-- end of states -->"


def moves() -> dict[tuple[AccountState | None, AccountState], list[str]]:
    """Return the events that lead from one status to another, or to the same, in the order of the table."""
    found: dict[tuple[AccountState | None, AccountState], list[str]] = {}
    for kind, following in TABLE.items():
        for before, after in following.items():
            found.setdefault((before, after), []).append(str(kind))
    return found


def diagram() -> Iterator[str]:
    """Yield the lines of the diagram."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    for (before, after), kinds in moves().items():
        if before is not after:
            yield f"    {'[*]' if before is None else before} --> {after}: {', '.join(kinds)}"
    yield "```"


def table() -> Iterator[str]:
    """Yield the lines of the table: what is possible in a status and leaves it as it is."""
    yield "| in status | may happen too, and changes no status |"
    yield "|---|---|"
    for status in AccountState:
        yield f"| `{status}` | {', '.join(moves().get((status, status), ['nothing']))} |"


def written(page: str) -> str:
    """Return the page with the diagram made anew.

    Raises:
        Missing: the page has no place for it.
    """
    head, started, rest = page.partition(f"{START}\n")
    _, ended, tail = rest.partition(END)
    if not started or not ended:
        raise Missing(f"{PAGE.name} has no {START} with {END} after it")
    return "\n".join((head + START, "", *diagram(), "", *table(), "", END)) + tail


if __name__ == "__main__":
    sys.exit(write_page(written, "diagram", "state_diagram.py", __doc__))
