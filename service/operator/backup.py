"""Backups of an operator: one file with all rows, the blobs they name, and a manifest of hashes. For the command line.

A backup is read in one transaction, while the operator serves, and moves between databases: rows are lines of JSON
(`portable`). It is written whole and renamed. Keys and tokens are not in it unless that is asked for.

An operator that is restored goes on from the backup: what was entered since is missing, and its log is shorter than
what others saw. See "Restored from an older backup" in docs/operator.md.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import BackupInvalid, ConfigurationError
from atomic_margin.service.operator import portable
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.addresses import DATABASE_FILE
from atomic_margin.service.operator.store.blobs import Blobs, is_name
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.migrations import version_of
from atomic_margin.service.operator.store.references import named_blobs
from atomic_margin.service.operator.store.remote_blobs import open_blobs

FORMAT = "atomic-margin/backup/1"
KEY_FILES = ("operator.key", "admin.token")
"""What makes whoever holds them the operator."""
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20

JsonObject = dict[str, Any]


class Place(NamedTuple):
    """Where an operator's data are.

    Attributes:
        directory: of `serve --dir`.
        database: its URL; in the directory by default.
        blobs: their URL; in the directory by default.
    """

    directory: Path
    database: str | None = None
    blobs: str | None = None


def back_up(place: Place, target: Path, *, with_keys: bool = False) -> JsonObject:
    """Write a backup and return what it says of itself.

    Raises:
        ConfigurationError: there is no operator there, or the file is there already.
        BlobDamaged, NotFound: a blob that a row names is damaged, or not there.
    """
    file = place.directory / DATABASE_FILE
    if place.database is None and not file.is_file():
        raise ConfigurationError(f"{file} is not there; --dir is the folder of `serve --dir`")
    if target.exists():
        raise ConfigurationError(f"{target} is there already; a backup replaces nothing")
    store = Store(place.database or f"sqlite:///{file}", version=None)
    with closing(store), _whole(target) as out, closing(_Archive(out)) as archive:
        manifest = {**_written(archive, store, place), "with_keys": with_keys, "members": archive.hashes}
        for name in KEY_FILES if with_keys else ():
            archive.add(f"keys/{name}", [(place.directory / name).read_bytes()])
        archive.end(manifest)
    return summary(manifest)


def _written(archive: "_Archive", store: Store, place: Place) -> JsonObject:
    """Write the rows and the blobs that they name; return what is said of them."""
    with store.reading() as session:
        said, tables = _described(session), JsonObject()
        for table in portable.export(session.connection()):
            rows = archive.add(f"tables/{table.name}.jsonl", table.lines, zipfile.ZIP_DEFLATED)
            tables[table.name] = {"columns": list(table.columns.items()), "rows": rows}
        blobs = open_blobs(place.directory, place.blobs)
        for name in sorted(named_blobs(session)):
            archive.add(f"blobs/{name}", [blobs.get(name)])
    return {**said, "tables": tables}


def restore(source: Path, place: Place) -> JsonObject:
    """Make an operator's data anew from a backup, all of it or nothing; return what the backup says of itself.

    Raises:
        ConfigurationError: the directory, or the database, is not empty.
        BackupInvalid: the backup is damaged, or none; nothing was made.
    """
    directory = place.directory
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(f"{directory} is not empty; restore to a new folder, and move the old one away")
    directory.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        with _opened(source) as (archive, manifest):
            blobs = open_blobs(making, place.blobs)
            for member in manifest["members"]:
                folder, _, name = member.partition("/")
                if folder == "blobs":
                    _put(archive, manifest, name, blobs)
                elif folder == "keys":
                    _write_key(making, name, b"".join(_checked(archive, manifest, member)))
            # Last, since a database elsewhere is not undone with the folder.
            _fill_database(archive, manifest, place.database or f"sqlite:///{making / DATABASE_FILE}")
        if directory.exists():
            directory.rmdir()
        making.rename(directory)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return summary(manifest)


def summary(manifest: JsonObject) -> JsonObject:
    """Return what a person wants to know of a backup."""
    names = ("created_at", "operator", "log_size", "last_entry", "accounts", "version", "with_keys")
    members = manifest["members"]
    return {name: manifest[name] for name in names} | {
        "blobs": sum(member.startswith("blobs/") for member in members),
        "rows": sum(table["rows"] for table in manifest["tables"].values()),
    }


def _described(session: Session) -> JsonObject:
    # Late: the tables may be of an older version than these are, but these columns there always were.
    from atomic_margin.service.operator.store.tables import Account, EntryRow

    last = session.scalar(select(EntryRow.entry).order_by(EntryRow.leaf.desc()).limit(1))
    return {
        "format": FORMAT,
        "created_at": now_text(),
        "version": version_of(session.connection()),
        "operator": None if last is None else last["signer"],
        "log_size": str(log.size(session)),
        "last_entry": None if last is None else last["body"]["entered_at"],
        "accounts": session.scalar(select(func.count()).select_from(Account)),
    }


class _Archive:
    """A ZIP file that is being written, and the hash of each member."""

    def __init__(self, out: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(out, "w", zipfile.ZIP_STORED)
        self.hashes: dict[str, str] = {}

    def add(self, member: str, parts: Iterable[bytes], compression: int = zipfile.ZIP_STORED) -> int:
        """Write a member; return of how many parts it is."""
        digest, count = hashlib.sha256(), 0
        info = zipfile.ZipInfo(member)
        info.compress_type = compression
        with self._zip.open(info, "w", force_zip64=True) as file:
            for part in parts:
                digest.update(part)
                file.write(part)
                count += 1
        self.hashes[member] = digest.hexdigest()
        return count

    def end(self, manifest: JsonObject) -> None:
        """Write what is said of all members; there is no other afterwards."""
        self._zip.writestr(_MANIFEST, json.dumps(manifest, indent=1))

    def close(self) -> None:
        self._zip.close()


@contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """Write a file that is there whole, or not at all, for its owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).rename(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _opened(source: Path) -> Iterator[tuple[zipfile.ZipFile, JsonObject]]:
    """Open a backup, whose manifest is of the form that is read here."""
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive, _manifest(archive, source)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BackupInvalid(f"{source} is no backup, or damaged: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"cannot read {source}, or write what is in it: {error}") from error


def _manifest(archive: zipfile.ZipFile, source: Path) -> JsonObject:
    try:
        info = archive.getinfo(_MANIFEST)
        if info.file_size > _MAX_MANIFEST_BYTES:
            raise ValueError("its manifest is too long")
        manifest = json.loads(archive.read(info))
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {str(manifest['format'])[:64]!r}, not {FORMAT!r}")
        members = {name for name in archive.namelist() if name != _MANIFEST}
        if len(archive.namelist()) != len(members) + 1 or members != set(manifest["members"]):
            raise ValueError("it has other members than its manifest names")
        for name, table in manifest["tables"].items():
            if f"tables/{name}.jsonl" not in members or not all(len(column) == 2 for column in table["columns"]):
                raise ValueError(f"its manifest is wrong about the table {name!r}")
        summary(manifest)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BackupInvalid(f"{source} is no backup, or damaged: {error}") from error
    return dict(manifest)


def _checked(archive: zipfile.ZipFile, manifest: JsonObject, member: str) -> Iterator[bytes]:
    """Yield a member in chunks; its end is not reached if its hash is another than the manifest's."""
    digest = hashlib.sha256()
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != manifest["members"][member]:
        raise BackupInvalid(f"{member} of the backup has another hash than its manifest says: it is damaged")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    left = b""
    for chunk in chunks:
        *lines, left = (left + chunk).split(b"\n")
        if len(left) > portable.MAX_LINE_BYTES:
            raise BackupInvalid(f"a row of the backup has more than {portable.MAX_LINE_BYTES} bytes")
        yield from lines
    if left:
        raise BackupInvalid("a table of the backup ends within a row")


def _fill_database(archive: zipfile.ZipFile, manifest: JsonObject, url: str) -> None:
    with closing(Store(url, str(manifest["version"]))) as store, store.unit_of_work() as session:
        connection = session.connection()
        tables = portable.tables_of(connection)
        for table in tables:
            if connection.execute(select(table).limit(1)).first() is not None:
                raise ConfigurationError(f"the database has rows in {table.name}; restore to an empty one")
        unknown = set(manifest["tables"]) ^ {table.name for table in tables}
        if unknown:
            raise BackupInvalid(f"tables of version {manifest['version']} are not those of the backup: {min(unknown)}")
        for table in tables:
            said = manifest["tables"][table.name]
            lines = _lines(_checked(archive, manifest, f"tables/{table.name}.jsonl"))
            if portable.fill(connection, table.name, dict(said["columns"]), lines) != said["rows"]:
                raise BackupInvalid(f"the backup has another number of rows of {table.name} than it says")
    # In this version's form from here on.
    Store(url).close()


def _put(archive: zipfile.ZipFile, manifest: JsonObject, name: str, blobs: Blobs) -> None:
    if not is_name(name) or blobs.put(b"".join(_checked(archive, manifest, f"blobs/{name}"))) != name:
        raise BackupInvalid(f"a blob of the backup has another hash than its name {name[:64]!r}")


def _write_key(directory: Path, name: str, data: bytes) -> None:
    if name not in KEY_FILES:
        raise BackupInvalid(f"{name[:64]!r} in the backup is no key of an operator")
    descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
