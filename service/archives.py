"""The container of an examiner's archive: one ZIP file, whose manifest names every other file by hash and size.

It comes from outside: nothing is read beyond what the manifest says, and nothing is written when it is read.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from atomic_margin.documents.canonical import CanonicalValue, canonical_bytes
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import ArchiveInvalid, ConfigurationError, RequestError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.archive import MAX_LINE_BYTES, ArchivedFile, ArchiveManifest
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import Identity, SignedDocument

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
_CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """Return whether a file looks like an archive, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


class ArchiveWriter:
    """Writes an archive beside its place, and moves it there when it is whole."""

    def __init__(self, path: Path) -> None:
        """Begin at ``path``, which is replaced in the end."""
        self._path, self._partial = path, path.with_name(f"{path.name}.partial")
        try:
            self._zip = zipfile.ZipFile(self._partial, "w", zipfile.ZIP_DEFLATED)
        except OSError as error:
            raise ConfigurationError(f"cannot write {self._partial}: {error.strerror}") from error
        self._files: list[ArchivedFile] = []

    def __enter__(self) -> "ArchiveWriter":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind that is not whole."""
        self._zip.close()
        self._partial.unlink(missing_ok=True)

    def lines(self, name: str, documents: Iterator[CanonicalValue]) -> int:
        """Write a file of one document a line; return how many there are."""
        count = 0

        def encoded() -> Iterator[bytes]:
            nonlocal count
            for document in documents:
                count += 1
                yield canonical_bytes(document) + b"\n"

        self._write(name, encoded())
        return count

    def data(self, name: str, data: bytes) -> None:
        """Write a file."""
        self._write(name, iter([data]))

    def _write(self, name: str, parts: Iterator[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        with self._zip.open(_entry(name), "w", force_zip64=True) as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
        self._files.append(ArchivedFile.model_construct(name=name, sha256=digest.hexdigest(), bytes=size))

    def finish(self, said: dict[str, CanonicalValue], identity: Identity) -> SignedDocument:
        """Sign the manifest, and put the archive in its place; return the manifest.

        Args:
            said: fields of `ArchiveManifest` but for the files.
            identity: of who makes it.

        Raises:
            DocumentError: there are too many files, or bytes.
        """
        files = [
            {"name": file.name, "sha256": file.sha256, "bytes": str(file.bytes)}
            for file in sorted(self._files, key=lambda file: file.name)
        ]
        signed = ArchiveManifest.parse({**said, "version": "1", "files": files}).signed_by(identity)
        text = json.dumps(signed.to_json(), indent=1, sort_keys=True)
        with self._zip.open(_entry(MANIFEST), "w") as file:
            file.write(text.encode())
        self._zip.close()
        self._partial.replace(self._path)
        return signed


def _entry(name: str) -> zipfile.ZipInfo:
    # The same bytes for the same content, whenever it is made.
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


class ArchiveReader:
    """Reads an archive; every file is read to its end at most, as the manifest says it, and hashed on the way."""

    def __init__(self, path: Path) -> None:
        """Open it, and read the manifest.

        Raises:
            ConfigurationError: it cannot be read.
            ArchiveInvalid: it is no archive, or its files are not those of its manifest.
        """
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise ArchiveInvalid(f"{path} is no archive: {error}; fetch it again") from error
        try:
            data = self._read_whole(MANIFEST, MAX_MANIFEST_BYTES)
            self.signed, self.manifest = parse_signed(parse_json(data, MANIFEST), ArchiveManifest)
        except (DocumentsError, RequestError) as error:
            raise ArchiveInvalid(f"{MANIFEST}: {error}") from error
        self._files = {file.name: file for file in self.manifest.files}
        found = sorted(self._zip.namelist())
        if found != sorted([*self._files, MANIFEST]):
            odd = sorted({*found} ^ {*self._files, MANIFEST})
            raise ArchiveInvalid(f"its files are not those of its manifest: {', '.join(odd[:3]) or 'one comes twice'}")

    def __enter__(self) -> "ArchiveReader":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._zip.close()

    def has(self, name: str) -> bool:
        """Return whether there is such a file."""
        return name in self._files

    def names(self) -> list[str]:
        """Return the names of all files but the manifest."""
        return sorted(self._files)

    def data(self, name: str) -> bytes:
        """Return a file.

        Raises:
            ArchiveInvalid: it is missing, or not the one that the manifest names.
        """
        return b"".join(self.chunks(name))

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a file. That it is the one the manifest names is known after the last.

        Raises:
            ArchiveInvalid: it is missing, not that one, or has a line that is too long.
        """
        rest, number = b"", 0
        for chunk in self.chunks(name):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                number += 1
                yield line
            if len(rest) > MAX_LINE_BYTES:
                raise ArchiveInvalid(f"{name}: line {number + 1} has more than {MAX_LINE_BYTES} bytes")
        if rest:
            raise ArchiveInvalid(f"{name}: the last line is cut off")

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file in pieces; that it is the right one is known after the last.

        Raises:
            ArchiveInvalid: it is missing, or not the one that the manifest names.
        """
        named = self._files.get(name)
        if named is None:
            raise ArchiveInvalid(f"{name} is missing; fetch the archive again")
        digest, left = hashlib.sha256(), named.bytes
        try:
            with self._zip.open(name) as file:
                while left > 0:
                    chunk = file.read(min(_CHUNK, left))
                    if not chunk:
                        raise ArchiveInvalid(f"{name} has fewer bytes than the manifest says")
                    left -= len(chunk)
                    digest.update(chunk)
                    yield chunk
                if file.read(1):
                    raise ArchiveInvalid(f"{name} has more bytes than the manifest says")
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
            raise ArchiveInvalid(f"{name} cannot be read: {error}") from error
        except zlib.error as error:
            raise ArchiveInvalid(f"{name} cannot be unpacked: {error}") from error
        if digest.hexdigest() != named.sha256:
            raise ArchiveInvalid(f"{name} is not the file that the manifest names")

    def _read_whole(self, name: str, limit: int) -> bytes:
        try:
            with self._zip.open(name) as file:
                return _limited(file, limit, name)
        except KeyError as error:
            raise ArchiveInvalid(f"there is no {name} in it") from error
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise ArchiveInvalid(f"{name} cannot be read: {error}") from error
        except zlib.error as error:
            raise ArchiveInvalid(f"{name} cannot be unpacked: {error}") from error


def _limited(file: IO[bytes], limit: int, name: str) -> bytes:
    data = file.read(limit + 1)
    if len(data) > limit:
        raise ArchiveInvalid(f"{name} has more than {limit} bytes")
    return data
