"""Accounts whose identity key may be somebody else's: held until another key, agreed on by other ways, is in force.

A hold is the operator's own caution and no event of the account: while it stands the server takes what can do no harm
whoever signs it (answers, proofs of coverage), and of rotations the one to the agreed key. It stands in a file of the
operator's directory, beside the database: a backup that is restored ends none. `atomic-margin operator hold` writes it;
a server reads it again when it changes.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from atomic_margin.documents.errors import DocumentError
from atomic_margin.documents.fields import PublicKey, Time, now_text
from atomic_margin.documents.strict import Document, Identifier, Label, ListOf, Part, require_unique
from atomic_margin.service.errors import AccountHeld, ConfigurationError, NotFound
from atomic_margin.service.files import alone_with, replace_private_json

FILE = "holds.json"
_FORMAT = "atomic-margin/holds/1"
MAX_HOLDS = 4096


class Hold(Part):
    """One account that is held.

    Attributes:
        institution: whose account.
        reason: for the institution, and for the operator's people.
        since: when it began.
        key: the identity key that the institution is to rotate to; absent where none was agreed on.
    """

    institution: Identifier
    reason: Label
    since: Time
    key: PublicKey | None = None


class HoldFile(Document):
    """All holds."""

    TAG: ClassVar[str] = "holds"
    format: Literal["atomic-margin/holds/1"]
    holds: ListOf[Hold]

    @model_validator(mode="after")
    def _check(self) -> "HoldFile":
        require_unique([one.institution for one in self.holds], "holds[{}].institution".format)
        return self


class Holds:
    """The holds in one operator's directory."""

    def __init__(self, directory: Path) -> None:
        """Use the file in a directory; it need not be there."""
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int, int] | None, tuple[Hold, ...]] = (None, ())

    def require_open(self, institution: str, key: str) -> None:
        """Make sure that an institution's account is not held, or that a key is the one it waits for.

        Raises:
            AccountHeld: it is held, for another key or for any; or nobody can tell.
        """
        try:
            found = next((one for one in self.all() if one.institution == institution), None)
        except ConfigurationError as error:
            raise AccountHeld(f"the operator cannot tell which accounts are held: {error}") from error
        if found is not None and found.key != key:
            agreed = "no other key is agreed on yet" if found.key is None else f"it waits for the key {found.key}"
            raise AccountHeld(
                f"the operator holds this account since {found.since}: {found.reason}; {agreed}. Answers and proofs of "
                "coverage are taken; for the rest talk to its people"
            )

    def all(self) -> tuple[Hold, ...]:
        """Return every hold; the file is read again if it is another one.

        Raises:
            ConfigurationError: the file does not hold holds.
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

    def hold(self, institution: str, reason: str, key: str | None = None) -> Hold:
        """Hold an account, in place of how it was held before.

        Raises:
            DocumentError: the reason or the key is none.
            ConfigurationError: the file does not hold holds, or has as many as it may.
        """
        said = {"institution": institution, "reason": reason, "since": now_text()} | (
            {} if key is None else {"key": key}
        )
        made = Hold.parse(said)
        with self._writing() as holds:
            others = [one for one in holds if one.institution != institution]
            if len(others) >= MAX_HOLDS:
                raise ConfigurationError(f"{MAX_HOLDS} accounts are held; end a hold first")
            self._write([*others, made])
        return made

    def end(self, institution: str) -> None:
        """Hold an account no more.

        Raises:
            NotFound: it is not held.
            ConfigurationError: the file does not hold holds.
        """
        with self._writing() as holds:
            others = [one for one in holds if one.institution != institution]
            if len(others) == len(holds):
                known = ", ".join(one.institution for one in holds) or "none"
                raise NotFound(f"{institution!r} is not held; held are: {known}", "institution")
            self._write(others)

    @contextmanager
    def _writing(self) -> Iterator[list[Hold]]:
        """Keep others out meanwhile: two commands at once lose nothing of each other."""
        with alone_with(self._path):
            yield list(_read(self._path)) if self._path.exists() else []

    def _write(self, holds: list[Hold]) -> None:
        document = HoldFile.parse({"format": _FORMAT, "holds": [one.canonical() for one in holds]})
        replace_private_json(self._path, document.canonical())


def _read(path: Path) -> tuple[Hold, ...]:
    try:
        return HoldFile.parse(json.loads(path.read_bytes())).holds
    except (OSError, ValueError, DocumentError) as error:
        raise ConfigurationError(f"{path} does not hold holds of accounts: {error}") from error
