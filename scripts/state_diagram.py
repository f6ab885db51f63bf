"""Write the state diagram of accounts in docs/protocol.md from the machine's table: `scripts/state_diagram.py`.

It stands between two comments: a mermaid diagram of what changes a status, and a table of what changes none. `--check`
only compares. Exit status 1 if the page differs or the comments are missing.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from atomic_margin.service.protocol.account.table import TABLE
from atomic_margin.service.protocol.states import AccountState

PAGE = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"
START = "<!-- states -->"
END = "<!-- end of states -->"


class Missing(Exception):
    """A comment that is not there."""


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


def main() -> int:
    """Write or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the page is up to date")
    options = parser.parse_args()
    page = PAGE.read_text()
    try:
        new = written(page)
    except Missing as error:
        print(error, file=sys.stderr)
        return 1
    if options.check:
        if new != page:
            print(f"the diagram of {PAGE.name} is not that of the code; run scripts/state_diagram.py", file=sys.stderr)
        return int(new != page)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
