"""Large bytes (evaluation keys, ciphertexts) as files named by their SHA-256, beside the database.

A file is written whole and renamed before the database row that names it is committed; files that no row names (left by
a crash between the two) are removed at start.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from atomic_margin.service.errors import NotFound

_NAME = re.compile(r"[0-9a-f]{64}")


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
            descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".new-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
            self._sync()
        return sha256

    def _sync(self) -> None:
        # The rename must be as durable as the row that will name the file.
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def put_file(self, source: Path) -> str:
        """Store a file's bytes durably, without having all of them in memory; return their SHA-256 in hex."""
        hashed = hashlib.sha256()
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".new-")
        with os.fdopen(descriptor, "wb") as file, source.open("rb") as bytes_:
            while block := bytes_.read(1 << 20):
                hashed.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(self._directory / hashed.hexdigest())
        self._sync()
        return hashed.hexdigest()

    def path(self, sha256: str) -> Path:
        """Return where the bytes with that hash are.

        Raises:
            NotFound: they are not here.
        """
        path = self._directory / sha256
        if not _NAME.fullmatch(sha256) or not path.is_file():
            raise NotFound(f"no bytes with hash {sha256[:64]!r} are stored")
        return path

    def get(self, sha256: str) -> bytes:
        """Return the bytes with that hash."""
        return self.path(sha256).read_bytes()

    def size(self, sha256: str) -> int:
        """Return how many bytes are stored under that hash, 0 if none are."""
        path = self._directory / sha256
        return path.stat().st_size if _NAME.fullmatch(sha256) and path.is_file() else 0

    def remove(self, sha256: str) -> None:
        """Forget the bytes with that hash, if they are here."""
        if _NAME.fullmatch(sha256):
            (self._directory / sha256).unlink(missing_ok=True)

    def keep_only(self, referenced: Iterable[str]) -> int:
        """Remove every file that is not referenced; return how many were."""
        wanted, removed = set(referenced), 0
        for path in self._directory.iterdir():
            if path.name not in wanted:
                path.unlink()
                removed += 1
        return removed
