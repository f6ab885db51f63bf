"""Large bytes (evaluation keys, ciphertexts) as files named by their SHA-256, beside the database.

A file is written whole and renamed before the database row that names it is committed; files that no row names (left by
a crash between the two) are removed at start. What is read is hashed: bytes that changed are `BlobDamaged`, never used.
`remote_blobs` keeps the same in an object store; `open_blobs` there chooses.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from atomic_margin.service.errors import BlobDamaged, NotFound

_NAME = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = ".new-"
_BLOCK_BYTES = 1 << 20


def is_name(name: str) -> bool:
    """Return whether a name is that of a blob: a SHA-256 in hex."""
    return _NAME.fullmatch(name) is not None


def require_name(sha256: str) -> None:
    """Make sure that a name is one.

    Raises:
        NotFound: nothing can be stored under it.
    """
    if not is_name(sha256):
        raise NotFound(f"no bytes with hash {sha256[:64]!r} are stored")


def checked(data: bytes, sha256: str, where: str) -> bytes:
    """Return bytes that have a hash.

    Raises:
        BlobDamaged: they have another one.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BlobDamaged(f"{where} has another hash than its name: it is damaged; restore it from a backup")
    return data


class Blobs:
    """A folder of content-addressed files."""

    def __init__(self, directory: Path) -> None:
        """Use (and create) the folder."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their SHA-256 in hex."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._directory / sha256
        if not path.exists():
            write_whole(path, data)
        return sha256

    def put_file(self, source: Path) -> str:
        """Store a file's bytes durably, without having all of them in memory; return their SHA-256 in hex."""
        hashed = hashlib.sha256()
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=_TEMPORARY)
        with os.fdopen(descriptor, "wb") as file, source.open("rb") as given:
            while block := given.read(_BLOCK_BYTES):
                hashed.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        _rename(Path(temporary), self._directory / hashed.hexdigest())
        return hashed.hexdigest()

    def path(self, sha256: str) -> Path:
        """Return where the bytes with that hash are, for a worker, which hashes what it reads.

        Raises:
            NotFound: they are not here.
        """
        require_name(sha256)
        path = self._directory / sha256
        if not path.is_file():
            raise NotFound(f"no bytes with hash {sha256[:64]!r} are stored")
        return path

    def get(self, sha256: str) -> bytes:
        """Return the bytes with that hash.

        Raises:
            NotFound: they are not here.
            BlobDamaged: what is here in their place has another hash.
        """
        path = self.path(sha256)
        return checked(path.read_bytes(), sha256, str(path))

    def size(self, sha256: str) -> int:
        """Return how many bytes are stored under that hash, 0 if none are."""
        path = self._directory / sha256
        return path.stat().st_size if is_name(sha256) and path.is_file() else 0

    def remove(self, sha256: str) -> None:
        """Forget the bytes with that hash, if they are here."""
        if is_name(sha256):
            (self._directory / sha256).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Yield the hash of everything that is stored."""
        for path in sorted(self._directory.iterdir()):
            if is_name(path.name):
                yield path.name

    def keep_only(self, referenced: Iterable[str]) -> int:
        """Remove every blob that is not referenced, and what a crash left half-written; return how many were."""
        wanted, removed = set(referenced), 0
        for path in self._directory.iterdir():
            # Nothing else: whoever names a folder of other files does not lose them.
            if path.name not in wanted and (is_name(path.name) or path.name.startswith(_TEMPORARY)):
                path.unlink()
                removed += 1
        return removed


def write_whole(path: Path, data: bytes) -> None:
    """Have a file be there with these bytes, durably, or not at all; for its owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _rename(Path(temporary), path)


def _rename(temporary: Path, path: Path) -> None:
    temporary.replace(path)
    # It must be as durable as the row that will name the file.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
