"""Options that say where a cluster's scheduler is and how connections are secured; of `serve` and `worker`."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from atomic_margin.fhe.executors.cluster_settings import ClusterSettings
from atomic_margin.service.errors import ConfigurationError

SchedulerCa: TypeAlias = Annotated[
    Path | None, typer.Option("--scheduler-tls-ca", help="Certificate of the authority of all machines of the cluster.")
]
SchedulerCert: TypeAlias = Annotated[
    Path | None, typer.Option("--scheduler-tls-cert", help="This machine's certificate for the cluster.")
]
SchedulerKey: TypeAlias = Annotated[
    Path | None, typer.Option("--scheduler-tls-key", help="The key of that certificate.")
]


def cluster_settings(scheduler: str, ca: Path | None, cert: Path | None, key: Path | None) -> ClusterSettings:
    """Return the settings that options give.

    Raises:
        ConfigurationError: they do not fit together, or a file is not there.
    """
    try:
        return ClusterSettings(scheduler, ca, cert, key)
    except ValueError as error:
        raise ConfigurationError(f"--scheduler: {error}") from error
