"""Read and write the JSON files that people and other parties hand over; size and nesting are limited.

Text is UTF-8, with a byte order mark or without, or UTF-16 with one, as spreadsheets and editors leave it.
"""

import codecs
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.http.outside_json import parse_json

MAX_FILE_BYTES = 16 << 20

T = TypeVar("T")


def examples_folder() -> Path:
    """Return the folder of example documents, in a checkout as in an installed wheel.

    Raises:
        ConfigurationError: the package was installed without it, or is run from an archive.
    """
    folder = files("atomic_margin") / "examples"
    if not isinstance(folder, Path) or not folder.is_dir():
        raise ConfigurationError(f"no example documents in {folder}; install the wheel of atomic-margin, unpacked")
    return folder.resolve()


def web_folder() -> Path:
    """Return the folder of templates and styles of pages, in a checkout as in an installed wheel.

    Raises:
        ConfigurationError: the package was installed without it, or is run from an archive.
    """
    folder = files("atomic_margin") / "web"
    if not isinstance(folder, Path) or not folder.is_dir():
        raise ConfigurationError(f"no pages in {folder}; install the wheel of atomic-margin, unpacked")
    return folder.resolve()


def read_json(path: Path, *, numbers: bool = False, limit: int = MAX_FILE_BYTES) -> Any:
    """Return the JSON of a file that a person or another party wrote; see `parse_json` for ``numbers``.

    It has at most ``limit`` bytes.

    Raises:
        ConfigurationError: it cannot be read, is too large, or is no text.
        MalformedRequest: it is not JSON of the form used here.
    """
    return parse_json(read_text(path, limit=limit).encode(), str(path), numbers=numbers)


def read_text(path: Path, *, limit: int = MAX_FILE_BYTES) -> str:
    """Return the text of a file of at most ``limit`` bytes, without its byte order mark.

    Raises:
        ConfigurationError: it cannot be read, is too large, or is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    try:
        if path.stat().st_size > limit:
            raise ConfigurationError(f"{path} is larger than {limit} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not {'UTF-16' if wide else 'UTF-8'} at byte {error.start}: save it as UTF-8, or as UTF-16 with "
            "a byte order mark"
        ) from None


def read_document(path: Path, parse: Callable[[Any], T]) -> T:
    """Return what a file of one JSON document holds.

    Args:
        path: of the file.
        parse: of the document's type. Numbers that are not decimal strings reach it, so that it names their field.

    Raises:
        ConfigurationError, MalformedRequest: see `read_json`.
        DocumentError: a field is wrong; file and field are named.
    """
    value = read_json(path, numbers=True)
    with in_file(str(path)):
        return parse(value)


@contextmanager
def in_file(name: str) -> Iterator[None]:
    """Put the name of a file before the field that an error of a document names, unless it names one already."""
    with placing(lambda error: type(error)(f"{name}: {error.field}", error.problem)):
        yield


@contextmanager
def placing(placed: Callable[[DocumentError], DocumentError]) -> Iterator[None]:
    """Raise ``placed(error)``, which says where it is in a file, for an error that does not say so already."""
    try:
        yield
    except DocumentError as error:
        if isinstance(error.__cause__, DocumentError):
            raise
        raise placed(error) from error


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


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Keep other processes that ask so too out of a file meanwhile: two commands at once lose nothing of each other."""
    with open(path.with_suffix(".lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace_private_json(path: Path, value: Any) -> None:
    """Replace a file that only its owner reads, so that a crash leaves the old one or the new one."""
    other = path.with_suffix(f".{secrets.token_hex(4)}.new")
    descriptor = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(other, path)
