"""Room on the disks that the operator writes to, looked at before anything is taken that needs some.

An enrolment brings files of tens of megabytes, a tick brings runs. Both are refused while there is too little room, and
what is under way goes on: answers, settlements and the log need little, and must not stop.
"""

import shutil
from pathlib import Path
from typing import Protocol

from atomic_margin.service.errors import OutOfSpace

MEBIBYTE = 1 << 20


class Placed(Protocol):
    """What says where an operator's files are, and how much room they want: its settings."""

    @property
    def directory(self) -> Path:
        """Of keys, database and files."""

    @property
    def min_free_bytes(self) -> int:
        """Room that has to be left."""


def free_bytes(directory: Path) -> int:
    """Return how many bytes may still be written to a directory's disk."""
    return shutil.disk_usage(directory).free


def require_room(settings: Placed, more: int = 0) -> None:
    """Make sure that the operator's disk has room left, also after so many bytes more.

    Raises:
        OutOfSpace: it has not.
    """
    free, wanted = free_bytes(settings.directory), settings.min_free_bytes
    if free < wanted + more:
        raise OutOfSpace(
            f"the operator's disk has {free // MEBIBYTE} MiB left and keeps {wanted // MEBIBYTE} free; nothing was "
            "stored. Its people free some (`atomic-margin operator prune`) or give it more; send the same again then"
        )
