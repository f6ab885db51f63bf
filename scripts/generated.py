"""What scripts share that write a part of docs/protocol.md from the code, and say with `--check` whether it is so."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"


class Missing(Exception):
    """A section, marker or meaning that is not there."""


def write_page(written: Callable[[str], str], what: str, script: str, help_: str | None) -> int:
    """Write or compare; return the exit status.

    Args:
        written: returns the page with its part from the code, or raises `Missing`.
        what: the part, for the message.
        script: what to run where it is out of date.
        help_: what the script does.
    """
    parser = argparse.ArgumentParser(description=(help_ or "").splitlines()[0])
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
            print(f"{PAGE.name} is out of date in its {what}; run scripts/{script}", file=sys.stderr)
        return int(new != page)
    PAGE.write_text(new)
    return 0
