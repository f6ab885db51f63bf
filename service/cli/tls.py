"""`--ca`: whom the commands trust to be the server they call. Named once for a group of commands, or by environment."""

import os
import ssl
from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.output import plain_errors
from atomic_margin.service.http.tls import trusting

ENVIRONMENT = "ATOMIC_MARGIN_CA"

Authorities = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar=ENVIRONMENT,
        help="Certificates, in PEM, of who vouches for the server that is called; without it this machine's own.",
    ),
]
Chain = Annotated[Path | None, typer.Option("--tls-cert", help="Certificate chain, in PEM; with --tls-key.")]
Key = Annotated[Path | None, typer.Option("--tls-key", help="Its key, in PEM, without a passphrase.")]

_trusted: dict[str, ssl.SSLContext] = {}


def take_authorities(app: typer.Typer) -> None:
    """Give a group of commands the option, before their names."""

    @app.callback()
    def group(ca: Authorities = None) -> None:
        trust(ca)


def trust(authorities: Path | None) -> None:
    """Trust the certificates of a file, in all that this process calls."""
    with plain_errors():
        _trusted["all"] = trusting(authorities)


def trusted() -> ssl.SSLContext:
    """Return what calls of this process are checked by."""
    if "all" not in _trusted:
        named = os.environ.get(ENVIRONMENT)
        trust(None if not named else Path(named))
    return _trusted["all"]
