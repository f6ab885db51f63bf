"""`atomic-margin serve`: the operator's server."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomic_margin.circuits.profile import DEFAULT
from atomic_margin.service import tracing
from atomic_margin.service.cli import log_options, tls
from atomic_margin.service.cli.cluster import SchedulerCa, SchedulerCert, SchedulerKey, cluster_settings
from atomic_margin.service.cli.configuration import ConfigFile, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import err, out, plain_errors
from atomic_margin.service.cli.terms import (
    ModelFile,
    PriceRulesFile,
    ProfileName,
    ScheduleFile,
    UniverseFile,
    read_terms,
)
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.http.limit_table import USUAL_LIMITS, Limits
from atomic_margin.service.log.checkpoints import parse_keys
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.logs import LogFormat, LogLevel
from atomic_margin.service.protocol.account_export import MAX_EXPORT_BYTES, AccountExport
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.ceilings import require_provable
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.waterfall import WaterfallRules

if TYPE_CHECKING:
    from atomic_margin.service.operator.operator import Operator

DEFAULT_MIN_FREE_MIB = 1024


def witnesses_of(entries: list[str]) -> tuple[tuple[str, NoteKey], ...]:
    """Return URL and key of each witness.

    Raises:
        ConfigurationError: an entry is not URL=KEY.
        LogError: a key is no witness's, or stands there twice.
    """
    parted = [entry.partition("=") for entry in entries]
    if any(not url.startswith(("http://", "https://")) or not key for url, _, key in parted):
        raise ConfigurationError("--witness takes URL=KEY, with the key that the witness prints at its start")
    keys = parse_keys(key for _, _, key in parted)
    return tuple((url, key) for (url, _, _), key in zip(parted, keys, strict=True))


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(cls=configured("operator"))
def serve(
    directory: Annotated[Path, typer.Option("--dir", help="Keys, database and files of this operator.")],
    price_rules: PriceRulesFile,
    model: ModelFile,
    universe: UniverseFile,
    schedule: ScheduleFile,
    profile: ProfileName = DEFAULT.name,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8400,
    answer_seconds: Annotated[int, typer.Option(help="Time an institution has to answer a run.", min=1)] = 900,
    memory_gib: Annotated[int, typer.Option(help="Address-space limit of each evaluation worker.", min=4)] = 16,
    workers: Annotated[
        int,
        typer.Option(help="Evaluation workers, sharing the cores; or runs given to --scheduler.", min=1, max=64),
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Evaluate on the workers of this scheduler: tcp:// or tls://HOST:PORT.")
    ] = None,
    scheduler_tls_ca: SchedulerCa = None,
    scheduler_tls_cert: SchedulerCert = None,
    scheduler_tls_key: SchedulerKey = None,
    grace_seconds: Annotated[
        int, typer.Option(help="When stopped: time for runs in hand, before they are handed back.", min=0)
    ] = 30,
    policy: Annotated[
        Policy, typer.Option(help="Whether runs that are proven covered first are evaluated.")
    ] = Policy.ALWAYS,
    proof_seconds: Annotated[int, typer.Option(help="With unless_proven: time for that proof.", min=1)] = 10,
    log_origin: Annotated[str | None, typer.Option(help="Name of the log; by default made of the key.")] = None,
    witness: Annotated[
        list[str] | None, typer.Option(help="URL=KEY of a witness that cosigns the log; repeatable.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(help="Cosignatures that runs rest on; by default of more than half of them.", min=1)
    ] = None,
    checkpoint_seconds: Annotated[int, typer.Option(help="Publish a checkpoint at least so often.", min=1)] = 60,
    waterfall: Annotated[
        Path | None, typer.Option(help="Rules of the default waterfall; without them no default is worked off.")
    ] = None,
    breakers: Annotated[
        Path | None, typer.Option(help="Rules about too many calls at once; without them every breach settles at once.")
    ] = None,
    limits: Annotated[
        Path | None, typer.Option(help="Other limits of requests, rates and uploads than the usual ones, as JSON.")
    ] = None,
    rail: Annotated[
        Path | None,
        typer.Option(
            help="Settle in the vault on a chain that this file describes (docs/chain.md); else in the ledger."
        ),
    ] = None,
    database: Annotated[str | None, typer.Option(help="SQLAlchemy URL; by default SQLite in --dir.")] = None,
    blobs: Annotated[
        str | None,
        typer.Option(help="URL of the folder for large bytes, as in s3://bucket/folder; by default in --dir."),
    ] = None,
    take_back: Annotated[
        list[Path] | None,
        typer.Option(help="What `institution export` wrote: entries that a restored database lacks; repeatable."),
    ] = None,
    retention: Annotated[
        Path | None,
        typer.Option(help="Rules of what is kept how long; `operator prune --rules` prints the usual ones."),
    ] = None,
    ens_gateway: Annotated[
        Path | None, typer.Option(help="Answer as the gateway of an ENS name: which one, and by which key, as JSON.")
    ] = None,
    opening_seconds: Annotated[
        int, typer.Option(help="An opening by custodians of which nothing came by then lapses.", min=60, max=86_400)
    ] = 600,
    opening_session_seconds: Annotated[
        int, typer.Option(help="After so long other custodians compute in an opening.", min=10, max=3600)
    ] = 120,
    min_free_mb: Annotated[
        int, typer.Option(help="MiB to keep free on the disk: with less, no enrolment and no tick is taken.", min=0)
    ] = DEFAULT_MIN_FREE_MIB,
    tls_cert: tls.Chain = None,
    tls_key: tls.Key = None,
    otlp: Annotated[
        str | None,
        typer.Option(help="http://HOST:PORT of a collector of traces; by default OTEL_EXPORTER_OTLP_ENDPOINT."),
    ] = None,
    log_format: log_options.Format = LogFormat.TEXT,
    log_level: log_options.Level = LogLevel.INFO,
    debug: log_options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Serve the operator's API (OpenAPI at /docs), evaluating runs in worker processes.

    The first token for the operator's own calls is in DIR/admin.token; `operator key new` makes others, with scopes and
    an end. On any address but loopback give a certificate, or put a proxy in front that ends TLS and hands on Host.
    """
    further = [*(["cluster"] if scheduler else []), *(["chain"] if rail or ens_gateway else [])]
    needs_extras("serve", "fhe", "service", *further)
    from atomic_margin.service.http.serving import listen, port_of, serve, warn_exposed
    from atomic_margin.service.http.tls import certificate
    from atomic_margin.service.operator import taking_back
    from atomic_margin.service.operator.operator import Operator, Settings
    from atomic_margin.service.operator.retention_rules import RetentionRules
    from atomic_margin.service.operator.web.app import create_app
    from atomic_margin.service.pointer.gateway import Gateway, GatewaySettings

    log_options.begin(log_format, log_level, debug)
    with plain_errors():
        prices = read_document(price_rules, PriceRules.parse)
        settings = Settings(
            directory=directory,
            prices=prices,
            answer_seconds=answer_seconds,
            memory_bytes=memory_gib << 30,
            database_url=database,
            blobs_url=blobs,
            workers=workers,
            grace_seconds=grace_seconds,
            cluster=None
            if scheduler is None
            else cluster_settings(scheduler, scheduler_tls_ca, scheduler_tls_cert, scheduler_tls_key),
            policy=policy,
            proof_seconds=proof_seconds,
            log_origin=log_origin,
            witnesses=witnesses_of(witness or []),
            checkpoint_seconds=checkpoint_seconds,
            threshold=threshold,
            waterfall=None if waterfall is None else read_document(waterfall, WaterfallRules.parse),
            retention=RetentionRules() if retention is None else read_document(retention, RetentionRules.parse),
            min_free_bytes=min_free_mb << 20,
            limits=USUAL_LIMITS if limits is None else read_document(limits, Limits.parse),
            opening_seconds=opening_seconds,
            opening_session_seconds=opening_session_seconds,
            breakers=None if breakers is None else read_document(breakers, BreakerRules.parse),
            ens_gateway=None
            if ens_gateway is None
            else Gateway.open(read_document(ens_gateway, GatewaySettings.parse), ens_gateway.parent),
        )
        terms = read_terms(model, universe, schedule, profile)
        require_provable(terms.profile)
        files = certificate(tls_cert, tls_key)
        listener = listen(host, port)
        collector = tracing.wanted(otlp)
        if collector is not None:
            tracing.start("atomic-margin operator", collector)
        exports = [AccountExport.parse(read_json(path, limit=MAX_EXPORT_BYTES)) for path in take_back or []]
        operator = Operator(settings, terms)
        if rail is not None:
            _open_rail(operator, rail)
        for name, count in (taking_back.take_back(operator, exports) if exports else {}).items():
            err.print(f"took {count} entries of {name} back", soft_wrap=True, highlight=False)
    key = operator.identity.public_key
    # On standard output, for whoever writes trust files; what happens goes into the log.
    out.print(f"log {operator.log_key}", soft_wrap=True, highlight=False)
    if settings.ens_gateway is not None:
        out.print(f"ens gateway signs as {settings.ens_gateway.address}", soft_wrap=True, highlight=False)
    out.print(f"operator {key} on {host}:{port_of(listener)}, data in {directory}", soft_wrap=True)
    sys.stdout.flush()
    warn_exposed(host, tls=files is not None)
    try:
        serve(create_app(operator), listener, settings.limits, files)
    finally:
        tracing.stop()


def _open_rail(operator: "Operator", path: Path) -> None:
    """Have settlements carried out on a chain.

    Raises:
        ConfigurationError: the file, or what it names, is wrong.
    """
    from atomic_margin.contracts.errors import ContractsError
    from atomic_margin.service.operator.accounts.collateral import deposit
    from atomic_margin.service.operator.settlement.chain.opening import open_rail
    from atomic_margin.service.operator.settlement.chain.settings import RailSettings

    def arrived(institution: str, asset: str, quantity: int, reference: str) -> None:
        deposit(operator, institution, asset, quantity, reference)

    try:
        open_rail(operator, RailSettings.load(path), arrived)
    except ContractsError as error:
        raise ConfigurationError(str(error)) from error
