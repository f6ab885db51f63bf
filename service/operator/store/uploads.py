"""Uploads: large files that come in parts, named by their SHA-256, on disk from the first byte on.

For the HTTP face, which appends, and for enrolment, which takes whole ones. What is here is in the file system alone,
so a restart keeps it: `uploads/<institution>/<sha256>.<size>.part`, which becomes `.whole` once it has the hash of its
name. Nothing parses a part. Files of one institution are bounded in number and bytes, the oldest one making place, and
one that nothing was added to for a while is removed.
"""

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from atomic_margin.service.errors import Conflict, MalformedRequest, NotFound, Refused, TooLarge
from atomic_margin.service.http.limit_table import Limits

_NAME = re.compile(r"([0-9a-f]{64})\.([1-9][0-9]{0,12})\.(part|whole)")
_HASH = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20

_log = logging.getLogger(__name__)


class UploadAt(NamedTuple):
    """How far an upload is."""

    sha256: str
    size: int
    offset: int


class _File(NamedTuple):
    path: Path
    sha256: str
    size: int
    whole: bool
    offset: int
    written: float

    @property
    def at(self) -> UploadAt:
        return UploadAt(self.sha256, self.size, self.offset)


class Uploads:
    """The uploads of all institutions in one folder."""

    def __init__(self, directory: Path, limits: Limits, longest: int, clock: Callable[[], float] = time.time) -> None:
        """Use (and create) the folder; what is there is gone on with.

        Args:
            directory: the folder.
            limits: how many, how many bytes, and for how long.
            longest: bytes of the longest file that is taken.
            clock: the time that files are written at, in seconds since 1970.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory, self._limits, self._longest, self._clock = directory, limits, longest, clock
        # Held by whoever looks, since files change their names; not while one is hashed.
        self._lock = threading.RLock()
        self._writers: dict[tuple[str, str], UploadWriter] = {}
        self.prune()

    def declare(self, institution: str, sha256: str, size: int) -> UploadAt:
        """Begin an upload, or find the one that was begun; return how far it is.

        Raises:
            TooLarge: nothing that long is taken.
            Conflict: it was begun with another size.
        """
        if not _HASH.fullmatch(sha256):
            raise MalformedRequest("the SHA-256 of the file, in hex", "sha256")
        if not 1 <= size <= min(self._longest, self._limits.upload_bytes):
            raise TooLarge(f"a file has 1 to {self._longest} bytes here", "size")
        self.prune()
        with self._lock:
            found = self._find(institution, sha256)
            if found is not None:
                if found.size != size:
                    raise Conflict(f"this file was declared with {found.size} bytes; delete that upload first", "size")
                os.utime(found.path, (self._clock(),) * 2)
                return found.at
            self._make_place(institution, size)
            folder = self._folder(institution)
            folder.mkdir(exist_ok=True, mode=0o700)
            path = folder / f"{sha256}.{size}.part"
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.utime(path, (self._clock(),) * 2)
        _log.info("upload %s of %s: %d bytes are to come", sha256[:16], institution, size)
        return UploadAt(sha256, size, 0)

    def at(self, institution: str, sha256: str) -> UploadAt:
        """Return how far an upload is.

        Raises:
            NotFound: there is none of that hash.
        """
        return self._get(institution, sha256).at

    def append(self, institution: str, sha256: str, offset: int) -> "UploadWriter":
        """Return what appends to an upload. Whoever appended before, and hangs, does not any more.

        Raises:
            NotFound: there is none of that hash.
            Conflict: it is not at that offset.
        """
        key = (institution, sha256)
        with self._lock:
            before = self._writers.pop(key, None)
            if before is not None:
                before.end()
            found = self._get(institution, sha256)
            if found.offset != offset:
                raise Conflict(f"the upload is at {found.offset} of {found.size} bytes; go on from there", "offset")
            writer = self._writers[key] = UploadWriter(found.path, found.at, self._clock)
        return writer

    def finish(self, institution: str, writer: "UploadWriter") -> UploadAt:
        """Make a file that has all its bytes whole, if it has the hash of its name; return how far it is.

        Raises:
            NotFound: it was removed meanwhile.
            Refused: it has another hash, and is removed.
        """
        writer.end()
        key = (institution, writer.sha256)
        with self._lock:
            if self._writers.get(key) is writer:
                del self._writers[key]
            found = self._get(institution, writer.sha256)
            if found.whole or found.offset < found.size:
                return found.at
            # Open, for whoever finishes it first renames it. Nobody writes to a part that has all its bytes.
            part = found.path.open("rb")
        with part:
            right = _sha256(part) == writer.sha256
            with self._lock:
                found = self._get(institution, writer.sha256)
                if found.whole or not os.path.samestat(os.fstat(part.fileno()), found.path.stat()):
                    # Somebody finished it, or removed it and began another, whose bytes these are not.
                    return found.at
                if not right:
                    found.path.unlink()
                    raise Refused("the uploaded bytes have another hash than was declared; send them anew", "sha256")
                found.path.replace(found.path.with_suffix(".whole"))
                _sync_folder(found.path.parent)
        _log.info("upload %s of %s: whole", writer.sha256[:16], institution)
        return UploadAt(writer.sha256, found.size, found.size)

    def whole(self, institution: str, sha256: str, field: str) -> Path:
        """Return where a whole file is; its bytes have that hash.

        Raises:
            Conflict: it is not there, or not whole; `field` named it.
        """
        found = self._find(institution, sha256)
        if found is None or not found.whole:
            state = "is not uploaded" if found is None else f"is uploaded up to {found.offset} of {found.size} bytes"
            raise Conflict(f"the file with hash {sha256} {state}; POST and PATCH .../uploads first", field)
        # The others make place before this one does, which somebody is about to use.
        os.utime(found.path, (self._clock(),) * 2)
        return found.path

    def remove(self, institution: str, sha256: str) -> None:
        """Remove an upload, if it is there."""
        with self._lock:
            found = self._find(institution, sha256)
            if found is not None:
                found.path.unlink()

    def prune(self) -> int:
        """Remove uploads that nothing was added to for too long; return how many."""
        oldest, removed = self._clock() - self._limits.upload_seconds, 0
        with self._lock:
            for folder in self._directory.iterdir():
                for path in folder.iterdir():
                    if not _NAME.fullmatch(path.name) or path.stat().st_mtime < oldest:
                        path.unlink()
                        removed += 1
        if removed:
            _log.info("%d uploads removed: nothing was added to them", removed)
        return removed

    def _make_place(self, institution: str, size: int) -> None:
        files = sorted(self._files(institution), key=lambda file: file.written)
        while files and (
            len(files) >= self._limits.open_uploads
            or sum(file.size for file in files) + size > self._limits.upload_bytes
        ):
            oldest = files.pop(0)
            _log.info("upload %s of %s: makes place", oldest.sha256[:16], institution)
            oldest.path.unlink()

    def _folder(self, institution: str) -> Path:
        # Whatever a name has in it, it is no part of a path.
        return self._directory / hashlib.sha256(institution.encode()).hexdigest()[:32]

    def _files(self, institution: str) -> list[_File]:
        folder = self._folder(institution)
        files = []
        for path in folder.iterdir() if folder.is_dir() else ():
            name = _NAME.fullmatch(path.name)
            if name is not None:
                status = path.stat()
                files.append(_File(path, name[1], int(name[2]), name[3] == "whole", status.st_size, status.st_mtime))
        return files

    def _find(self, institution: str, sha256: str) -> _File | None:
        with self._lock:
            return next((file for file in self._files(institution) if file.sha256 == sha256), None)

    def _get(self, institution: str, sha256: str) -> _File:
        found = self._find(institution, sha256)
        if found is None:
            raise NotFound("no upload of that hash is there; declare it by POST .../uploads", "sha256")
        return found


class UploadWriter:
    """Appends to one upload."""

    def __init__(self, path: Path, at: UploadAt, clock: Callable[[], float]) -> None:
        """`Uploads.append` makes one."""
        self.sha256 = at.sha256
        self._path, self._left, self._clock = path, at.size - at.offset, clock
        self._lock = threading.Lock()
        self._file = path.open("r+b") if self._left else None
        if self._file is not None:
            self._file.seek(at.offset)

    def write(self, data: bytes) -> None:
        """Append some bytes.

        Raises:
            TooLarge: they go beyond the size that was declared; those up to it are written.
            Conflict: somebody else appends now.
        """
        with self._lock:
            if self._file is None and self._left:
                raise Conflict("another request appends to this upload now", "offset")
            taken = data[: self._left]
            if self._file is not None and taken:
                self._file.write(taken)
                self._file.flush()
                os.utime(self._file.fileno(), (self._clock(),) * 2)
                self._left -= len(taken)
        if len(taken) < len(data):
            raise TooLarge("more bytes than the upload was declared with", "size")

    def end(self) -> None:
        """Append no more; what was written stays."""
        with self._lock:
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._file = None


def _sha256(file: BinaryIO) -> str:
    hashed = hashlib.sha256()
    while block := file.read(_BLOCK):
        hashed.update(block)
    return hashed.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
