"""Bearer tokens in files that only their owner reads: the operator's own, and the agent's."""

import os
import secrets
from pathlib import Path

from atomic_margin.service.errors import ConfigurationError


def load_token(path: Path) -> str:
    """Return the token in a file, or make one there (mode 0600).

    Raises:
        ConfigurationError: the file holds something else.
    """
    if path.exists():
        return read_token(path)
    token = secrets.token_hex(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def read_token(path: Path) -> str:
    """Return the token in a file that a server made.

    Raises:
        ConfigurationError: there is no such file, or it holds something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the token in {path}: {error.strerror}") from error
    token = content.strip()
    if len(token) != 64 or not token.isascii():
        raise ConfigurationError(f"{path} does not hold a token; remove it and start again to get a new one")
    return token.decode()
