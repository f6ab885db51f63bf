"""Compiled modules on this machine's disk, by hash of profile and programs, and by version of the compiler.

Compiling takes some seconds, loading hundredths.

A stored module is machine code of this user's own making. It is never taken from anybody else: the directory must
belong to the user and be writable by nobody else, and what institution and operator exchange are profile hashes only.

`ATOMIC_MARGIN_CACHE` names another directory; `ATOMIC_MARGIN_CACHE=off` switches the cache off.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

import platformdirs

from atomic_margin.circuits.errors import CacheUnsafe

VARIABLE = "ATOMIC_MARGIN_CACHE"


def cache_directory() -> Path | None:
    """Return the directory, made if need be with mode 0700, or None when the cache is off.

    Raises:
        CacheUnsafe: the directory belongs to, or may be written by, somebody else.
    """
    named = os.environ.get(VARIABLE, "")
    if named == "off":
        return None
    directory = Path(named) if named else Path(platformdirs.user_cache_dir("atomic-margin"))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheUnsafe(
            f"{directory} may be written by others, and compiled code is loaded from it; run `chmod 700 {directory}` "
            f"or set {VARIABLE} to a directory of your own (or to `off`)"
        )
    return directory


def entry(profile_hash: str) -> Path | None:
    """Return where the module of a profile lies, or would lie; None when the cache is off."""
    directory = cache_directory()
    if directory is None:
        return None
    made_with = f"cp{sys.version_info.major}{sys.version_info.minor}-concrete{version('concrete-python')}"
    return directory / "modules" / f"{profile_hash}-{_programs_hash()[:16]}-{made_with}"


@cache
def _programs_hash() -> str:
    """Hash of this package's source, so that an edited program is compiled and not found in the cache."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def store(place: Path, files: dict[str, bytes | Path]) -> None:
    """Put files under `place` at once: a crash leaves either nothing or everything."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as temporary:
        complete = Path(temporary) / "entry"
        complete.mkdir(mode=0o700)
        for name, content in files.items():
            if isinstance(content, Path):
                shutil.copyfile(content, complete / name)
            else:
                (complete / name).write_bytes(content)
        try:
            complete.rename(place)
        except OSError:
            # Another process was faster; its entry is as good.
            if not place.is_dir():
                raise


def drop(place: Path) -> None:
    """Remove an entry at once, if it is still there: whoever looks for it meanwhile finds all of it or nothing."""
    with tempfile.TemporaryDirectory(dir=place.parent) as temporary, contextlib.suppress(FileNotFoundError):
        place.rename(Path(temporary) / "entry")
