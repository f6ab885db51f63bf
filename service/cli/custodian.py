"""`atomic-margin custodian`: hold shares of books, and with others open that of a silent institution."""

import re
import signal
import sys
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli import custodian_folder, log_options
from atomic_margin.service.cli.configuration import DEFAULT_PORTS, ConfigFile, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.cli.tls import Authorities, trust, trusted
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document
from atomic_margin.service.logs import LogFormat, LogLevel
from atomic_margin.service.protocol.custodian_messages import ADDRESS
from atomic_margin.service.protocol.trust import TrustFile

SHOWN = 20

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Hold shares of books, and with others open that of a silent institution.",
)
app.command()(custodian_folder.init)
app.command()(custodian_folder.agree)


@app.command(cls=configured("custodian"))
def serve(
    directory: Annotated[Path, typer.Option("--dir", help="Keys and memory of this custodian.")],
    operator: Annotated[str, typer.Option(help="Address of the operator's server.")],
    trust_file: Annotated[
        Path, typer.Option("--trust", help="Operator, institutions, terms, log and witnesses that it trusts.")
    ],
    engine_host: Annotated[str, typer.Option(help="Address that the engine listens on.")] = "127.0.0.1",
    engine_port: Annotated[int, typer.Option(help="Port that it listens on.", min=1, max=65_535)] = DEFAULT_PORTS[
        "custodian"
    ],
    engine_address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT by which the other custodians reach it.", show_default="where it listens"),
    ] = None,
    engine_seconds: Annotated[
        int, typer.Option(help="A computation with the others ends by then.", min=1, max=600)
    ] = 60,
    closing_seconds: Annotated[
        int, typer.Option(help="After a computation had to end, its session may take so long.", min=1, max=600)
    ] = 45,
    interval: Annotated[float, typer.Option(help="Seconds between two looks at the operator.", min=0.1)] = 5.0,
    keep_days: Annotated[
        int, typer.Option(help="Days for which shares stay that no book is under, after their deal's time.", min=0)
    ] = 7,
    ca: Authorities = None,
    log_format: log_options.Format = LogFormat.TEXT,
    log_level: log_options.Level = LogLevel.INFO,
    debug: log_options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Take shares of books that are dealt, and take part in openings after everything about them was checked here.

    The memory in DIR must never be reset to an older state: docs/custodian.md says what a restored backup does.
    """
    needs_extras("custodian serve", "service", "custodian")
    from atomic_margin.service.custodian.client import OperatorClient
    from atomic_margin.service.custodian.computing import Listens
    from atomic_margin.service.custodian.engine.run import run_engine
    from atomic_margin.service.custodian.folder import DATABASE, Folder, lock
    from atomic_margin.service.custodian.own import Own
    from atomic_margin.service.custodian.process import CustodianProcess, Settings
    from atomic_margin.service.custodian.store import Store
    from atomic_margin.zk.groups import load_group

    if ca is not None:
        trust(ca)
    log_options.begin(log_format, log_level, debug)
    with plain_errors():
        address = _address(engine_address, engine_host, engine_port)
        anchors = read_document(trust_file, TrustFile.parse)
        folder = Folder(directory)
        held = lock(directory)
        own = Own(folder, Store(directory / DATABASE), anchors, lambda: datetime.now(timezone.utc), load_group())
        connect = partial(OperatorClient, operator, folder.identity, anchors.operator, trusted())
        listens = Listens(engine_host, engine_port, engine_seconds, closing_seconds)
        process = CustodianProcess(own, connect, run_engine, Settings(address, listens, interval, keep_days))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    said = f"custodian {folder.identity.public_key} of {operator}, engine at {address}"
    out.print(said, soft_wrap=True, highlight=False, markup=False)
    sys.stdout.flush()
    process.start()
    process.wait()
    process.close()
    held.close()


@app.command()
def status(
    directory: Annotated[Path, typer.Option("--dir", help="Folder of this custodian.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Print what is held, what was opened and what was refused, from the folder; beside a process that serves it."""
    needs_extras("custodian status", "service")
    from atomic_margin.service.custodian.folder import DATABASE, Folder
    from atomic_margin.service.custodian.store import Store

    with plain_errors():
        folder = Folder(directory)
        store = Store(directory / DATABASE, read_only=True)
        openings = store.openings()[:SHOWN]
        void = [len(store.voided(row.run)) for row in openings]
        found: dict[str, Any] = {
            "identity": folder.identity.public_key,
            "encryption_key": folder.encryption_key,
            "policies": list(folder.policies()),
            "deals": {state: str(count) for state, count in sorted(store.counts("deals").items())},
            "openings": {state: str(count) for state, count in sorted(store.counts("openings").items())},
            "newest": [
                {
                    "request": row.request,
                    "institution": row.institution,
                    "state": row.state,
                    "session": str(row.session),
                    "signed": None if row.verdict is None else (row.finding or {}).get("outcome"),
                    "reason": row.reason,
                    "void": str(count),
                    "changed_at": datetime.fromtimestamp(row.changed_at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
                for row, count in zip(openings, void, strict=True)
            ],
        }
        store.close()
    if as_json:
        print_json(found)
        return
    lines = [f"custodian {found['identity']}", f"policies {len(found['policies'])}"]
    for what in ("deals", "openings"):
        counted = ", ".join(f"{count} {state}" for state, count in found[what].items())
        lines.append(f"{what}: {counted or 'none'}")
    lines += [
        f"{row.institution}: opening {row.request[:16]} {row.state}"
        + (row.reason and f", {row.reason}")
        + (f", {count} finding{'s' * (count > 1)} void" if count else "")
        for row, count in zip(openings, void, strict=True)
    ]
    for line in lines:
        out.print(line, soft_wrap=True, highlight=False, markup=False)


def _address(said: str | None, host: str, port: int) -> str:
    address = said or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    if not re.fullmatch(ADDRESS, address):
        raise ConfigurationError(f"--engine-address takes HOST:PORT, got {address[:80]!r}")
    return address
