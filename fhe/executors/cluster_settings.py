"""How to reach a cluster: its address, and the certificates with which both sides know each other.

The operator and its workers read it. What crosses the connections is Python objects that run on the other side, so
whoever can connect to the scheduler commands every worker and the operator itself.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class ClusterSettings:
    """Where the scheduler is, and how connections are secured.

    Attributes:
        scheduler: its address, `tcp://host:port` or `tls://host:port`.
        ca: certificate of the authority that signed all others; with it only TLS is spoken.
        cert: this side's own certificate.
        key: the key of that.
    """

    scheduler: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.scheduler)
        try:
            known = parts.scheme in ("tcp", "tls") and bool(parts.hostname) and bool(parts.port)
        except ValueError:
            known = False
        if not known:
            raise ValueError(f"the scheduler's address is tcp://HOST:PORT or tls://HOST:PORT, not {self.scheduler!r}")
        given = [one is not None for one in (self.ca, self.cert, self.key)]
        if any(given) and not all(given):
            raise ValueError("TLS takes all three: the authority's certificate, this side's own, and its key")
        if all(given) != (parts.scheme == "tls"):
            raise ValueError("a tls:// address takes certificates, and certificates a tls:// address")
        for path in filter(None, (self.ca, self.cert, self.key)):
            if not path.is_file():
                raise ValueError(f"{path}: there is no such file")

    @property
    def exposed(self) -> bool:
        """Whether others can read and change what crosses: plain connections to another host."""
        host = urlsplit(self.scheduler).hostname or ""
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = host == "localhost"
        return self.ca is None and not loopback

    def security(self) -> Any:
        """Return the same for the cluster's library, on either side of a connection."""
        from distributed import Security

        if self.ca is None:
            return Security(require_encryption=False)
        ca, cert, key = str(self.ca), str(self.cert), str(self.key)
        return Security(
            require_encryption=True,
            tls_ca_file=ca,
            tls_client_cert=cert,
            tls_client_key=key,
            tls_worker_cert=cert,
            tls_worker_key=key,
        )


def give_up_at_once(dask_scheduler: Any) -> None:
    """Let a scheduler try nothing again whose worker died: the operator's database counts, and tries again itself.

    Otherwise bytes that kill their worker would be handed from worker to worker. The scheduler runs it.
    """
    dask_scheduler.allowed_failures = 0
