"""`atomic-margin worker`: evaluate runs for an operator on this machine, as a worker of its Dask scheduler."""

from typing import Annotated

import typer

from atomic_margin.service.cli import log_options
from atomic_margin.service.cli.cluster import SchedulerCa, SchedulerCert, SchedulerKey, cluster_settings
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import plain_errors
from atomic_margin.service.logs import LogFormat, LogLevel

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def worker(
    scheduler: Annotated[str, typer.Option(help="The scheduler: tcp://HOST:PORT, or tls://HOST:PORT.")],
    threads: Annotated[
        int | None, typer.Option(help="Threads that an evaluation may use; by default every core.", min=1)
    ] = None,
    memory_gib: Annotated[int, typer.Option(help="Address-space limit of the evaluation process.", min=4)] = 16,
    host: Annotated[
        str | None, typer.Option(help="Address of this machine that the others reach; by default found out.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of this worker in the scheduler's lists.")] = None,
    scheduler_tls_ca: SchedulerCa = None,
    scheduler_tls_cert: SchedulerCert = None,
    scheduler_tls_key: SchedulerKey = None,
    log_format: log_options.Format = LogFormat.TEXT,
    log_level: log_options.Level = LogLevel.INFO,
    debug: log_options.Debug = False,
) -> None:
    """Evaluate runs for the operator behind a scheduler, one at a time; start one on every machine.

    Ciphertexts and evaluation keys come here, and no secret key. The profile comes with the first run. A scheduler that
    is away is looked for until it is back. Whoever can connect to the scheduler can run programs here: use TLS, or
    addresses that nobody else reaches.
    """
    needs_extras("worker", "fhe", "cluster")
    from atomic_margin.fhe.executors.attendant import WorkerSettings, attend

    log_options.begin(log_format, log_level, debug)
    with plain_errors():
        cluster = cluster_settings(scheduler, scheduler_tls_ca, scheduler_tls_cert, scheduler_tls_key)
    attend(WorkerSettings(cluster, threads, memory_gib << 30, host, name))
