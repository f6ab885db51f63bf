"""One agent at a time on an institution's directory. Institution only.

Two on one directory would sign two documents of one number, and encrypt under masks that each believes unused. What
only reads there (`institution history`, `institution entries`) needs no lock.
"""

import fcntl
import os
from pathlib import Path

from atomic_margin.service.errors import ConfigurationError

LOCK_FILE = "agent.lock"


class DirectoryLock:
    """The directory, held by this process until it is released or the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take it; it is made if absent.

        Raises:
            ConfigurationError: another agent has it.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor: int | None = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise ConfigurationError(
                f"another agent runs on {directory}; ask that one, stop it, or use another --dir"
            ) from None

    def release(self) -> None:
        """Let others take it. Twice is once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
