"""Keys of the operator's staff: bearer tokens with scopes and an end, in a file of the operator's directory.

The file has hashes. It stands beside the database, not in it: a database restored from a backup brings no revoked key
back. `admin.token` is the first key, with every scope and no end; who has it makes the others, by `atomic-margin
operator key`. A server reads the file again when it changes.
"""

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from atomic_margin.documents.errors import DocumentError, MalformedDocument
from atomic_margin.documents.fields import Hash, Time, instant_text
from atomic_margin.documents.strict import Document, Identifier, ListOf, Part, instant, require_unique
from atomic_margin.service.errors import ConfigurationError, Conflict, NotFound
from atomic_margin.service.files import alone_with, replace_private_json

FILE = "staff-keys.json"
_FORMAT = "atomic-margin/staff-keys/1"
BOOTSTRAP = "admin"
MAX_KEYS = 256
MAX_DAYS = 366


class Scope(str, Enum):
    """What a key of the staff may do."""

    READ = "read"
    ADMIT = "admit"
    DEPOSIT = "deposit"
    TICKS = "ticks"
    SETTLE = "settle"
    HALT = "halt"

    def __str__(self) -> str:
        return self.value


ALL_SCOPES = frozenset(Scope)


class StaffKey(Part):
    """One key: a name, the hash of its token, what it may do, and until when."""

    name: Identifier
    token_sha256: Hash
    scopes: ListOf[Identifier]
    expires_at: Time

    @property
    def may(self) -> frozenset[Scope]:
        """The scopes."""
        return frozenset(Scope(scope) for scope in self.scopes)

    @model_validator(mode="after")
    def _check(self) -> "StaffKey":
        known = {str(scope) for scope in Scope}
        for number, scope in enumerate(self.scopes):
            if scope not in known:
                raise MalformedDocument(f"scopes[{number}]", f"there are: {', '.join(sorted(known))}")
        return self


class StaffKeyFile(Document):
    """All keys but the first, which is in `admin.token`."""

    TAG: ClassVar[str] = "staff-keys"
    format: Literal["atomic-margin/staff-keys/1"]
    keys: ListOf[StaffKey]

    @model_validator(mode="after")
    def _check(self) -> "StaffKeyFile":
        require_unique([key.name for key in self.keys], "keys[{}].name".format)
        return self


class StaffKeys:
    """The keys of one operator's directory."""

    def __init__(self, directory: Path, clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        """Use the file in a directory; it need not be there."""
        self._path, self._clock = directory / FILE, clock
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int, int] | None, tuple[StaffKey, ...]] = (None, ())

    def of(self, token: str) -> StaffKey | None:
        """Return the key that a token is of, unless its end has come.

        Raises:
            ConfigurationError: the file does not hold keys.
        """
        presented = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for key in self.all():
            if hmac.compare_digest(presented, key.token_sha256) and instant(key.expires_at) > self._clock():
                found = key
        return found

    def all(self) -> tuple[StaffKey, ...]:
        """Return every key, expired or not; the file is read again if it is another one.

        Raises:
            ConfigurationError: the file does not hold keys.
        """
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return ()
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        with self._lock:
            if self._read[0] != version:
                self._read = (version, _read(self._path))
            return self._read[1]

    def new(self, name: str, scopes: frozenset[Scope], days: int) -> str:
        """Make a key and return its token, which is kept nowhere.

        Raises:
            Conflict: a key has the name, or there are too many.
            ConfigurationError: the file does not hold keys, or the key would never end.
        """
        if not 0 < days <= MAX_DAYS:
            raise ConfigurationError(f"a key is for 1 to {MAX_DAYS} days, not {days}")
        token = secrets.token_hex(32)
        with self._writing() as keys:
            # Those that are over make place; a name that is in use is never another's.
            kept = [key for key in keys if instant(key.expires_at) > self._clock()]
            if name == BOOTSTRAP or any(key.name == name for key in kept):
                raise Conflict(f"a key is named {name!r} already; take another name, or revoke it first", "name")
            if len(kept) >= MAX_KEYS:
                raise Conflict(f"there are {MAX_KEYS} keys; revoke one first", "name")
            made = StaffKey.parse(
                {
                    "name": name,
                    "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
                    "scopes": sorted(str(scope) for scope in scopes),
                    "expires_at": instant_text(self._clock() + timedelta(days=days)),
                }
            )
            self._write([*kept, made])
        return token

    def revoke(self, name: str) -> None:
        """Remove a key; its token opens nothing any more.

        Raises:
            NotFound: no key is named so.
            ConfigurationError: the file does not hold keys.
        """
        with self._writing() as keys:
            kept = [key for key in keys if key.name != name]
            if len(kept) == len(keys):
                known = ", ".join(key.name for key in keys) or "none"
                raise NotFound(f"no key is named {name!r}; there are: {known}", "name")
            self._write(kept)

    @contextmanager
    def _writing(self) -> Iterator[list[StaffKey]]:
        """Hold the keys: two commands at once lose nothing of each other."""
        if not self._path.parent.is_dir():
            raise ConfigurationError(f"{self._path.parent} is not there; --dir is the folder of `serve --dir`")
        with alone_with(self._path):
            yield list(_read(self._path)) if self._path.exists() else []

    def _write(self, keys: list[StaffKey]) -> None:
        document = StaffKeyFile.parse({"format": _FORMAT, "keys": [key.canonical() for key in keys]})
        replace_private_json(self._path, document.canonical())


def _read(path: Path) -> tuple[StaffKey, ...]:
    try:
        return StaffKeyFile.parse(json.loads(path.read_bytes())).keys
    except (OSError, ValueError, DocumentError) as error:
        raise ConfigurationError(f"{path} does not hold keys of the staff: {error}") from error
