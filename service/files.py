"""Read and write the JSON files that people and other parties hand over; size and nesting are limited."""

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.http.outside_json import parse_json

MAX_FILE_BYTES = 16 << 20


def examples_folder() -> Path:
    """Return the folder of example documents, in a checkout as in an installed wheel.

    Raises:
        ConfigurationError: the package was installed without it, or is run from an archive.
    """
    folder = files("atomic_margin") / "examples"
    if not isinstance(folder, Path) or not folder.is_dir():
        raise ConfigurationError(f"no example documents in {folder}; install the wheel of atomic-margin, unpacked")
    return folder.resolve()


def read_json(path: Path, *, numbers: bool = False, limit: int = MAX_FILE_BYTES) -> Any:
    """Return the JSON of a file that a person or another party wrote; see `parse_json` for ``numbers``.

    It has at most ``limit`` bytes.

    Raises:
        ConfigurationError: it cannot be read, is too large, or is not JSON of the form used here.
    """
    try:
        if path.stat().st_size > limit:
            raise ConfigurationError(f"{path} is larger than {limit} bytes")
        return parse_json(path.read_bytes(), str(path), numbers=numbers)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and machines: indented, sorted, ended by a newline."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def replace_json(path: Path, value: Any) -> None:
    """Write the same so that a crash leaves the old file or the new one."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w") as file:
        file.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
