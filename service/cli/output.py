"""What the commands share: consoles, reading files, and turning our errors into one sentence and an exit status."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.contracts.errors import ContractsError
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.fhe.errors import FheError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import ServiceError
from atomic_margin.zk.errors import ProofError

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNEXPECTED = 70
"""Of an error that nobody foresaw, as sysexits.h has it."""
EXIT_PERMANENT = 3
"""Of a server that ended by itself, and would end again: a person has to do something first."""
EXIT_INTERRUPTED = 130
"""Of Ctrl-C, as shells have it."""
EXIT_CLOSED = 141
"""Of output that nobody reads any more, as in ``| head -1``, as shells have it."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let `main` end the program: the library's own status would be 1, which means "refused" here."""
        raise BrokenPipeError


debugging = False
"""Whether tracebacks are wanted: `atomic-margin --debug`, or the option of a command that runs long."""

out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)


def fail(message: str, status: int = EXIT_USAGE) -> NoReturn:
    """Print one sentence on standard error and end."""
    err.print(f"[bold red]error[/]: {escape(message)}", soft_wrap=True)
    sys.exit(status)


OURS = (ServiceError, ContractsError, DocumentsError, MarginError, CircuitError, FheError, ProofError, OSError)
"""Errors whose text says to a person what is wrong."""


def fail_unexpected(error: Exception) -> NoReturn:
    """Print one sentence about an error that nobody foresaw, and end."""
    said = " ".join(str(error).split())[:1000]
    fail(f"{type(error).__name__}: {said}; `atomic-margin --debug` before the command shows where", EXIT_UNEXPECTED)


@contextmanager
def plain_errors(*, named: bool = False) -> Iterator[None]:
    """Turn the errors a command can meet into one sentence.

    Args:
        named: put the name of a margin error before its message.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OURS as error:
        fail(
            f"{type(error).__name__}: {error}"
            if named and isinstance(error, (DocumentsError, MarginError))
            else str(error)
        )


def print_json(value: Any) -> None:
    """Print JSON for machines on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
