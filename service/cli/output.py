"""What the commands share: consoles, reading files, and turning our errors into one sentence and an exit status."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import ServiceError
from atomic_margin.zk.errors import ProofError

EXIT_REFUSED = 1
EXIT_USAGE = 2


out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def fail(message: str, status: int = EXIT_USAGE) -> NoReturn:
    """Print one sentence on standard error and end."""
    err.print(f"[bold red]error[/]: {escape(message)}", soft_wrap=True)
    sys.exit(status)


@contextmanager
def plain_errors(*, named: bool = False) -> Iterator[None]:
    """Turn the errors a command can meet into one sentence. The FHE library's stay out: a verifier has none of it.

    Args:
        named: put the name of a margin error before its message.
    """
    try:
        yield
    except (ServiceError, DocumentsError, MarginError, CircuitError, ProofError, OSError) as error:
        fail(
            f"{type(error).__name__}: {error}"
            if named and isinstance(error, (DocumentsError, MarginError))
            else str(error)
        )


def print_json(value: Any) -> None:
    """Print JSON for machines on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
