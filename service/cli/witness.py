"""`atomic-margin witness`: cosign checkpoints, so that nobody can be shown another history."""

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli import log_options
from atomic_margin.service.cli.configuration import ConfigFile, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors
from atomic_margin.service.cli.scaffolds import read_public
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.logs import LogFormat, LogLevel
from atomic_margin.service.protocol.public_files import OperatorPublic
from atomic_margin.service.protocol.trust import public_key_of

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(cls=configured("witness"))
def witness(
    directory: Annotated[Path, typer.Option("--dir", help="Key and memory of this witness.")],
    name: Annotated[str, typer.Option(help="Name it cosigns under, such as witness.example/w1.")],
    log: Annotated[
        list[str],
        typer.Option(help="ORIGIN=KEY of a log to watch, the key in hex, or its operator's public file; repeatable."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8410,
    log_format: log_options.Format = LogFormat.TEXT,
    log_level: log_options.Level = LogLevel.INFO,
    debug: log_options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Cosign the checkpoints of logs, each only if it goes on from the one before (C2SP tlog-witness).

    It prints its key, which operators name with --witness and trust files list. The memory in DIR must never be reset
    to an older state: a witness that forgot would cosign a second history.
    """
    needs_extras("witness", "service")
    from atomic_margin.service.http.serving import listen, port_of, serve, warn_exposed
    from atomic_margin.service.log.checkpoints import log_key
    from atomic_margin.service.witness.web import LIMITS, create_app
    from atomic_margin.service.witness.witness import Witness

    log_options.begin(log_format, log_level, debug)
    with plain_errors():
        logs = {}
        for entry in log:
            origin, key = _log_of(entry)
            logs[origin] = log_key(origin, key)
        listener = listen(host, port)
        party = Witness(directory, name, logs, lambda: int(time.time()))
    watching = ", ".join(logs)
    taken = port_of(listener)
    out.print(f"witness {party.key} on {host}:{taken}, watching {watching}", soft_wrap=True, highlight=False)
    sys.stdout.flush()
    warn_exposed(host, tls=False)
    serve(create_app(party), listener, LIMITS)
    party.close()


def _log_of(entry: str) -> tuple[str, str]:
    """Return origin and key of a log that somebody names."""
    if entry.endswith(".json") and Path(entry).is_file():
        named = read_public(OperatorPublic, Path(entry)).log
        return named.partition("+")[0], public_key_of(named)
    origin, separator, key = entry.partition("=")
    if not separator or not re.fullmatch("[0-9a-f]{64}", key):
        raise ConfigurationError(
            f"--log takes ORIGIN=KEY, the key 64 hex digits, or the operator's public file; got {entry[:80]!r}"
        )
    return origin, key
