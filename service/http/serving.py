"""Listen on a port, then serve an application there: operator, witness and an institution's agent do it alike.

The port is taken before anything else is begun, so that one that is in use costs nobody a recovery or an enrolment.
Whoever connects meanwhile waits for the application.
"""

import errno
import logging
import socket
from typing import TYPE_CHECKING, Any

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.tls import Certificate

if TYPE_CHECKING:
    import uvicorn

BACKLOG = 2048
"""Connections that may wait to be accepted."""
SHUTDOWN_SECONDS = 5
"""For requests in hand, once the process is told to stop."""

_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Take a port and return the socket that listens on it.

    Raises:
        ConfigurationError: it cannot be had; the message says why and what to do.
    """
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"--port {port}: ports are 0 to 65535, and 0 takes any that is free")
    listener: socket.socket | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        # A port whose last connections are still being closed may be taken again at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        raise ConfigurationError(_advice(host, port, error)) from error
    return listener


def port_of(listener: socket.socket) -> int:
    """Return the port that was taken."""
    return int(listener.getsockname()[1])


def server_of(app: Any, limits: Limits, tls: Certificate | None = None) -> "uvicorn.Server":
    """Return the server of an ASGI application, for `run`; who sets its `should_exit` ends it.

    It takes as many connections as `limits` say, and waits for them as long; with a certificate it speaks TLS.
    """
    import uvicorn

    from atomic_margin.service.http.connections import server_settings

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        **server_settings(limits, tls),
    )
    return uvicorn.Server(config)


def run(server: "uvicorn.Server", listener: socket.socket) -> None:
    """Serve on a socket that listens, until the process or the server is told to stop."""
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        # It stops for Ctrl-C in its own way, and says so once more when it is done.
        pass
    finally:
        listener.close()
    if not server.started:
        # What kept it from starting is logged.
        raise SystemExit(3)


def serve(app: Any, listener: socket.socket, limits: Limits, tls: Certificate | None = None) -> None:
    """Serve an ASGI application on a socket that listens, until the process is told to stop."""
    run(server_of(app, limits, tls), listener)


def warn_exposed(host: str, tls: bool) -> bool:
    """Log a warning if others can reach an address and nothing keeps what they send from eavesdroppers; return so."""
    exposed = not tls and not _is_loopback(host)
    if exposed:
        _log.warning(
            "listening on %s without TLS: tokens and figures can be read on the way; give a certificate, or listen on "
            "127.0.0.1 behind a proxy that has one",
            host,
        )
    return exposed


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _advice(host: str, port: int, error: OSError | UnicodeError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or choose another with --port"
    if number == errno.EACCES:
        return f"port {port} needs privileges: choose one above 1023 with --port, and let a proxy have the other"
    if number == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: choose another with --host"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"{host!r} is no host name or address: choose another with --host"
    return f"cannot listen on {host} port {port}: {error}"
