"""What a signer signed and refused, stored before it signs, so that it never says two things about one.

A row for each message. What it says is everything in it but how long it counts and by which checkpoint: a message that
was asked for again may name a later expiry and a newer root of the same log, and nothing else. While any message of one
key counts, that is up to the last expiry that was signed for it by the chain's clock, none that says something else is
signed. The key names everything that the chain fixed, so a run that a rearranged chain opened anew on other balances is
another one.

Of one key the `KEPT_OF_ONE` newest messages stay while it counts; afterwards they stay as long as they are among the
newest `KEPT` of all. Refusals likewise. The file must never be reset to an older state while something in it counts.
Any thread may use it; one process has it.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from atomic_margin.service.signer.errors import SignedOtherwise, TooManyInForce

KEPT = 10_000
"""Messages that are over, and refusals, that stay of each."""
KEPT_OF_ONE = 16
MAX_IN_FORCE = 100_000
"""Messages that count at once; more are not signed."""
REARRANGED_SECONDS = 900
"""How far a chain's time may go back when it is rearranged: a message is over so much later than it says."""
WHEN = ("expiry", "log")
"""Fields that say how long a message counts, and by which checkpoint it was verified."""
SHOWN = 20
MAX_REASON_CHARACTERS = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, about TEXT NOT NULL, message TEXT NOT NULL,
    until INTEGER NOT NULL, stored_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_about ON messages (about);
CREATE INDEX IF NOT EXISTS messages_until ON messages (until);
CREATE TABLE IF NOT EXISTS refusals (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL, error TEXT NOT NULL,
    reason TEXT NOT NULL, stored_at INTEGER NOT NULL
);
"""


class Row(NamedTuple):
    """Something that is remembered, for people.

    Attributes:
        kind: which message.
        subject: run or account.
        said: `signed`, or the name of the error.
        stored_at: by the signer's clock, seconds of the epoch.
    """

    kind: str
    subject: str
    said: str
    stored_at: int


class Journal:
    """The memory of one signer."""

    def __init__(self, path: Path) -> None:
        """Open the database at ``path``; made if absent."""
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(_SCHEMA)

    def remember(
        self, kind: str, about: Mapping[str, str], message: Mapping[str, str], now: int, stored_at: int
    ) -> None:
        """Store a message that is to be signed, unless it is there already.

        Args:
            kind: which document.
            about: what no second message may be about, as the chain has it.
            message: as JSON.
            now: the chain's time.
            stored_at: the signer's time.

        Raises:
            SignedOtherwise: another message about it counts still.
            TooManyInForce: there is no room.
        """
        key, text, expiry = _text({"kind": kind, **about}), _text(message), int(message["expiry"])
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._store(kind, key, text, expiry, now, stored_at)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    def refuse(self, kind: str, subject: str, error: Exception, stored_at: int) -> None:
        """Store that something was not signed."""
        row = (kind, subject[:100], type(error).__name__, str(error)[:MAX_REASON_CHARACTERS], stored_at)
        with self._lock:
            added = self._database.execute(
                "INSERT INTO refusals (kind, subject, error, reason, stored_at) VALUES (?, ?, ?, ?, ?)", row
            )
            self._database.execute("DELETE FROM refusals WHERE id <= ?", ((added.lastrowid or 0) - KEPT,))

    def counts(self) -> dict[str, int]:
        """Return how many messages of each kind were signed, and how much was refused, since the file was made."""
        with self._lock:
            signed = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
            refused = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'refusals'").fetchone()
        return {"signed": signed[0] if signed else 0, "refused": refused[0] if refused else 0}

    def newest(self) -> list[Row]:
        """Return what happened last, the newest first."""
        with self._lock:
            signed = self._database.execute(
                "SELECT kind, message, stored_at, id FROM messages ORDER BY id DESC LIMIT ?", (SHOWN,)
            ).fetchall()
            refused = self._database.execute(
                "SELECT kind, subject, error, stored_at, id FROM refusals ORDER BY id DESC LIMIT ?", (SHOWN,)
            ).fetchall()
        rows = [Row(kind, _subject(json.loads(text)), "signed", at) for kind, text, at, _ in signed]
        rows += [Row(kind, subject, error, at) for kind, subject, error, at, _ in refused]
        return sorted(rows, key=lambda row: -row.stored_at)[:SHOWN]

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _store(self, kind: str, key: str, text: str, expiry: int, now: int, stored_at: int) -> None:
        over = now - REARRANGED_SECONDS
        found = self._database.execute(
            "SELECT message, until FROM messages WHERE about = ? AND until >= ?", (key, over)
        )
        rows = found.fetchall()
        counts = max([until for _, until in rows], default=0)
        for earlier, _ in rows:
            other = _difference(json.loads(earlier), json.loads(text))
            if other is not None:
                raise SignedOtherwise(
                    f"another {other} was attested of it, and that counts until {counts + REARRANGED_SECONDS} by the "
                    "chain's clock: ask for what was attested, or wait until then",
                    other,
                )
        if any(earlier == text for earlier, _ in rows):
            return
        (count,) = self._database.execute("SELECT count(*) FROM messages WHERE until >= ?", (over,)).fetchone()
        if count >= MAX_IN_FORCE:
            raise TooManyInForce(f"{count} messages count still; ask again when some are over")
        added = self._database.execute(
            "INSERT INTO messages (kind, about, message, until, stored_at) VALUES (?, ?, ?, ?, ?)",
            (kind, key, text, max(expiry, counts), stored_at),
        )
        # The newest row says how long anything of the key counts.
        self._database.execute(
            "DELETE FROM messages WHERE about = ? AND id NOT IN "
            "(SELECT id FROM messages WHERE about = ? ORDER BY id DESC LIMIT ?)",
            (key, key, KEPT_OF_ONE),
        )
        self._database.execute(
            "DELETE FROM messages WHERE until < ? AND id <= ?", (over, (added.lastrowid or 0) - KEPT)
        )


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"))


def _subject(message: Mapping[str, str]) -> str:
    return message.get("run") or message["account"]


def _difference(earlier: Mapping[str, str], later: Mapping[str, str]) -> str | None:
    """Return the first field in which two messages say something else; None if they say the same."""
    return next((name for name in earlier if name not in WHEN and later.get(name) != earlier[name]), None)
