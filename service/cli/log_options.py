"""Options of every command that runs long: how its events are written. Others have `atomic-margin --debug` alone."""

import os
from typing import Annotated, TypeAlias

import typer

from atomic_margin.service.cli import output
from atomic_margin.service.logs import LogFormat, LogLevel, LogSettings, configure

Format: TypeAlias = Annotated[LogFormat, typer.Option("--log-format", help="One line an event, as text or as JSON.")]
Level: TypeAlias = Annotated[LogLevel, typer.Option("--log-level", help="The least important events to write.")]
Debug: TypeAlias = Annotated[bool, typer.Option("--debug", help="Write tracebacks too, and every event.")]


def begin(log_format: LogFormat, level: LogLevel, debug: bool) -> None:
    """Prepare a process that runs long: its log, and files that only their owner reads."""
    os.umask(0o077)
    output.debugging = debug = debug or output.debugging
    configure(LogSettings(log_format, level, debug))
