"""Blobs in an object store, or any other file system that fsspec reaches, by URL; `open_blobs` chooses by the URL.

An object is put whole, read back and hashed before a row may name it. What is read goes through a folder on this
machine, which is bounded in bytes: workers take keys as files. Bytes there and in the store are hashed before they are
used. Credentials and addresses are those that fsspec takes from its own environment variables and files.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from atomic_margin.service.errors import BlobDamaged, BlobsUnreachable, ConfigurationError, NotFound, StoreError
from atomic_margin.service.operator.store.blobs import Blobs, checked, is_name, require_name, write_whole

DEFAULT_CACHE_BYTES = 8 << 30
IN_USE_SECONDS = 900.0
"""How long a file that a worker was given stays on this machine, whatever else is wanted."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


def open_blobs(directory: Path, url: str | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES) -> Blobs:
    """Return the blobs of a data directory: in its own folder, or at a URL.

    Raises:
        ConfigurationError: the URL is none, or its file system is not installed.
    """
    if url is None:
        return Blobs(directory / "blobs")
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return Blobs(Path(parts.path))
    if not parts.scheme or parts.scheme == "file":
        raise ConfigurationError("--blobs takes a URL: s3://bucket/folder, or file:///folder")
    return RemoteBlobs(url, directory / "blob-cache", cache_bytes)


class RemoteBlobs(Blobs):
    """Content-addressed objects under a URL, with a bounded folder of those that were used last."""

    def __init__(self, url: str, cache: Path, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """Use a URL, which nobody else keeps anything under.

        Raises:
            ConfigurationError: its file system is not known, or not installed.
        """
        import fsspec

        super().__init__(cache)
        self._url, self._bytes = url.rstrip("/"), cache_bytes
        self._lock = threading.Lock()
        try:
            self._system, self._root = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"--blobs {url}: {error}; S3 needs the extra `s3`") from error

    def put(self, data: bytes) -> str:
        """Store bytes, read them back, and return their SHA-256 in hex.

        Raises:
            BlobDamaged: others came back.
            BlobsUnreachable: the store does not answer.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        address = self._address(sha256)
        self._ask(f"put {sha256}", lambda: self._system.pipe_file(address, data))
        checked(self._fetched(sha256), sha256, address)
        self._keep(sha256, data)
        return sha256

    def put_file(self, source: Path) -> str:
        """Store a file's bytes; see `put`."""
        return self.put(source.read_bytes())

    def size(self, sha256: str) -> int:
        """Return how many bytes are stored under that hash, 0 if none are."""
        if not is_name(sha256):
            return 0
        try:
            return int(self._ask(f"tell the size of {sha256}", lambda: self._system.size(self._address(sha256))) or 0)
        except NotFound:
            return 0

    def path(self, sha256: str) -> Path:
        """Return a file on this machine with the bytes, fetched if it is not there.

        Raises:
            NotFound: they are not in the store.
            BlobDamaged: what is there in their place has another hash.
            BlobsUnreachable: the store does not answer.
        """
        require_name(sha256)
        path = self._directory / sha256
        try:
            os.utime(path)
        except FileNotFoundError:
            self._keep(sha256, checked(self._fetched(sha256), sha256, self._address(sha256)))
        return path

    def get(self, sha256: str) -> bytes:
        """Return the bytes with that hash; see `path`."""
        try:
            return super().get(sha256)
        except BlobDamaged:
            # The copy on this machine is, and the store may have it whole.
            _log.warning("the copy of blob %s on this machine was damaged, and is fetched again", sha256)
            with self._lock:
                super().remove(sha256)
            return super().get(sha256)

    def remove(self, sha256: str) -> None:
        """Forget the bytes with that hash, if they are here."""
        with self._lock:
            super().remove(sha256)
        if is_name(sha256):
            try:
                self._ask(f"remove {sha256}", lambda: self._system.rm_file(self._address(sha256)))
            except NotFound:
                return

    def names(self) -> Iterator[str]:
        """Yield the hash of everything that is in the store."""
        try:
            found = self._ask("list", lambda: self._system.ls(self._root, detail=False))
        except NotFound:
            return
        for name in sorted(str(address).rsplit("/", 1)[-1] for address in found):
            if is_name(name):
                yield name

    def keep_only(self, referenced: Iterable[str]) -> int:
        """Remove every blob that is not referenced, here and in the store; return how many were in the store."""
        wanted = set(referenced)
        super().keep_only(wanted)
        unwanted = [name for name in self.names() if name not in wanted]
        for name in unwanted:
            self.remove(name)
        return len(unwanted)

    def _address(self, sha256: str) -> str:
        return f"{self._root}/{sha256}"

    def _fetched(self, sha256: str) -> bytes:
        return bytes(self._ask(f"get {sha256}", lambda: self._system.cat_file(self._address(sha256))))

    def _keep(self, sha256: str, data: bytes) -> None:
        """Keep a copy on this machine, and let go of those that were used longest ago."""
        with self._lock:
            write_whole(self._directory / sha256, data)
            files = sorted(
                ((file.stat().st_mtime, file.stat().st_size, file) for file in self._directory.iterdir()),
                key=lambda one: one[0],
            )
            over = sum(size for _, size, _ in files) - self._bytes
            for used, size, file in files:
                if over <= 0 or used > time.time() - IN_USE_SECONDS:
                    return
                file.unlink(missing_ok=True)
                over -= size

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except FileNotFoundError as error:
            raise NotFound(f"{self._url} has none: {what}") from error
        except StoreError:
            raise
        except Exception as error:
            # Every file system has errors of its own.
            raise BlobsUnreachable(f"{self._url} did not {what}: {type(error).__name__}: {error}") from error
