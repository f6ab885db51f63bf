"""The socket that a server listens on, taken before anything slow is done: whoever cannot have it ends at once."""

import socket

from atomic_margin.service.errors import ConfigurationError

BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ConfigurationError: somebody else has the port, or this machine has no such address.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
    except OSError as error:
        raise ConfigurationError(f"{host} is no address to listen on: {error.strerror}") from error
    try:
        # As servers do: what an earlier process left in TIME_WAIT is no reason to wait.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}); stop what listens there, or give another --port"
        ) from error
    return found
