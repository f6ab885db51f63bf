"""What a custodian remembers, in an SQLite file, before anything is sent. Any thread may ask; one process has it.

    deals      shares, encrypted, with what was said of them
    accounts   the newest entry of each account that was seen: an older history is an old backup, or hides an answer
    looks      which size of the log enough witnesses had cosigned when; that dates an entry
    openings   what was asked, and how far it is
    found      what was computed of a run: one row, so that nothing else is ever said of it unless that is void
    voided     what was found of a run and made void by a proof, with the proof

What is erased is overwritten (`secure_delete`), the journal is cut and the file is rebuilt. That reaches this file: not
what the disk or a snapshot of it keeps elsewhere, and not a backup.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from atomic_margin.service.custodian.errors import (
    HistoryOlder,
    HistoryRefused,
    TooManyDeals,
    TooManyOpenings,
    TooManyVoids,
)
from atomic_margin.service.custodian.stored import DealRow, Found, JsonObject, Kept, OpeningRow
from atomic_margin.service.errors import ConfigurationError

MAX_DEALS, MAX_DEALS_OF_ONE = 100_000, 256
"""That are held, of all institutions and of one."""
MAX_ACCOUNTS, MAX_FOUND = 100_000, 1_000_000
KEPT_LOOKS, KEPT_OPENINGS, KEPT_ERASED = 200_000, 10_000, 10_000
VERSION = 3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deals (
    deal TEXT PRIMARY KEY, institution TEXT NOT NULL, point INTEGER NOT NULL, policy TEXT NOT NULL, book TEXT NOT NULL,
    dealing TEXT NOT NULL, coefficients BLOB NOT NULL, shares BLOB, state TEXT NOT NULL, said TEXT NOT NULL,
    sent INTEGER NOT NULL, expires_at INTEGER NOT NULL, stored_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS deals_institution ON deals (institution, state);
CREATE TABLE IF NOT EXISTS accounts (
    account TEXT PRIMARY KEY, institution TEXT NOT NULL, number INTEGER NOT NULL, head TEXT NOT NULL,
    seen_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS looks (size INTEGER PRIMARY KEY, seen_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS openings (
    request TEXT PRIMARY KEY, institution TEXT NOT NULL, run TEXT NOT NULL, deal TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, session INTEGER NOT NULL, session_at INTEGER NOT NULL, finding TEXT, verdict TEXT,
    changed_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS found (
    run TEXT PRIMARY KEY, request TEXT NOT NULL, breach INTEGER NOT NULL, maintenance_row INTEGER, initial_row INTEGER,
    found_at INTEGER NOT NULL, maintenance_chosen TEXT, initial_chosen TEXT, session INTEGER NOT NULL DEFAULT 0,
    points TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE IF NOT EXISTS voided (
    run TEXT NOT NULL, number INTEGER NOT NULL, request TEXT NOT NULL, breach INTEGER NOT NULL, maintenance_row INTEGER,
    initial_row INTEGER, maintenance_chosen TEXT, initial_chosen TEXT, session INTEGER NOT NULL, points TEXT NOT NULL,
    void TEXT NOT NULL, voided_at INTEGER NOT NULL, PRIMARY KEY (run, number)
);
"""
_FROM_1 = ("ALTER TABLE found ADD COLUMN maintenance_chosen TEXT", "ALTER TABLE found ADD COLUMN initial_chosen TEXT")
"""Version 1 knew no models with slack, so nothing was chosen."""
_FROM_2 = (
    "ALTER TABLE found ADD COLUMN session INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE found ADD COLUMN points TEXT NOT NULL DEFAULT '[]'",
)
"""Version 2 did not say who had found it, so nobody is known to."""
_FOUND = "breach, maintenance_row, initial_row, maintenance_chosen, initial_chosen, request, session, points"


class Store:
    """The memory of one custodian."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the database at ``path``; made if absent. Beside the process that has it, others may only read.

        Raises:
            ConfigurationError: it is of another version, or to be read and not there.
        """
        self._lock = threading.RLock()
        if read_only and not path.exists():
            raise ConfigurationError(f"{path} is not there; `custodian serve` makes it")
        where = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        self._database = sqlite3.connect(where, uri=True, check_same_thread=False, isolation_level=None)
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, 1, 2, VERSION):
            self._database.close()
            raise ConfigurationError(f"{path} is of version {version}; this release knows {VERSION}")
        self._has_voids = version == VERSION or not read_only
        if read_only:
            return
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._database.execute(f"PRAGMA {pragma}")
        with self._transaction() as database:
            for statement in (*(_FROM_1 if version == 1 else ()), *(_FROM_2 if version in (1, 2) else ())):
                database.execute(statement)
            database.execute(f"PRAGMA user_version={VERSION}")
        self._database.executescript(_SCHEMA)

    # Deals.

    def deal(self, deal: str) -> DealRow | None:
        """Return a deal by its hash."""
        return next(iter(self.deals("deal = ?", deal)), None)

    def deals(self, where: str = "1", *values: object) -> list[DealRow]:
        """Return deals, the oldest first."""
        with self._lock:
            rows = self._database.execute(
                # The condition is of this package, its values are bound.
                f"SELECT * FROM deals WHERE {where} ORDER BY stored_at, deal",  # noqa: S608
                values,
            ).fetchall()
        return [
            DealRow._make([*row[:5], json.loads(row[5]), *row[6:9], json.loads(row[9]), bool(row[10]), *row[11:]])
            for row in rows
        ]

    def keep_deal(self, row: DealRow) -> None:
        """Store a deal with what is said of it; in place of a complaint, if there is one.

        Raises:
            TooManyDeals: there is no room.
        """
        with self._transaction() as database:
            (of_all,) = database.execute("SELECT count(*) FROM deals WHERE state != 'erased'").fetchone()
            (of_one,) = database.execute(
                "SELECT count(*) FROM deals WHERE institution = ? AND state != 'erased' AND deal != ?",
                (row.institution, row.deal),
            ).fetchone()
            if of_one >= MAX_DEALS_OF_ONE or of_all >= MAX_DEALS:
                raise TooManyDeals(
                    f"{of_one} deals of {row.institution} are held, at most {MAX_DEALS_OF_ONE} of one and {MAX_DEALS} "
                    "of all are: older ones are erased in time"
                )
            written = row._replace(dealing=_text(row.dealing), said=_text(row.said))  # type: ignore[arg-type]
            database.execute(f"REPLACE INTO deals VALUES ({','.join('?' * len(row))})", written)  # noqa: S608

    def deal_sent(self, deal: str) -> None:
        """Remember that the operator has what is said of a deal."""
        with self._transaction() as database:
            database.execute("UPDATE deals SET sent = 1 WHERE deal = ?", (deal,))

    def erase(self, deals: list[str]) -> None:
        """Erase the shares of deals, and what belongs to them; that they were here stays known."""
        if not deals:
            return
        with self._transaction() as database:
            for deal in deals:
                database.execute(
                    "UPDATE deals SET shares = zeroblob(length(shares)), coefficients = x'' WHERE deal = ?", (deal,)
                )
                database.execute("UPDATE deals SET shares = NULL, state = 'erased' WHERE deal = ?", (deal,))
            database.execute(
                "DELETE FROM deals WHERE state = 'erased' AND deal NOT IN "
                "(SELECT deal FROM deals WHERE state = 'erased' ORDER BY stored_at DESC LIMIT ?)",
                (KEPT_ERASED,),
            )
        with self._lock:
            # Pages that were written before are in the write-ahead log, and free ones in the file.
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def counts(self, table: Literal["deals", "openings"]) -> dict[str, int]:
        """Return how many deals, or openings, are in each state."""
        with self._lock:
            rows = self._database.execute(f"SELECT state, count(*) FROM {table} GROUP BY state").fetchall()  # noqa: S608
        return {str(state): int(count) for state, count in rows}

    # Accounts and the log.

    def saw_account(self, account: str, institution: str, number: int, head: str, now: int) -> None:
        """Remember the newest entry of an account.

        Raises:
            HistoryOlder: more entries were seen before, or another one of this number.
            HistoryRefused: another account of this institution was seen here.
        """
        with self._transaction() as database:
            other = database.execute(
                "SELECT 1 FROM accounts WHERE institution = ? AND account != ?", (institution, account)
            ).fetchone()
            if other is not None:
                # An operator draws pseudonyms: beside the one that the institution follows it could keep another.
                raise HistoryRefused(f"another account of {institution} was seen here before: an institution has one")
            row = database.execute("SELECT number, head FROM accounts WHERE account = ?", (account,)).fetchone()
            if row is not None and (number < row[0] or (number == row[0] and head != row[1])):
                raise HistoryOlder(
                    f"the history has {number} entries, and entry {row[0]} of it was seen here: the operator restored "
                    "an older backup, or hides an answer"
                )
            (count,) = database.execute("SELECT count(*) FROM accounts").fetchone()
            if row is None and count >= MAX_ACCOUNTS:
                raise HistoryOlder(f"{count} accounts are watched here, and no more are")
            database.execute("REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)", (account, institution, number, head, now))

    def looked(self, size: int, seen_at: int) -> None:
        """Remember from when enough witnesses had cosigned a log of a size; the first time counts."""
        with self._transaction() as database:
            if database.execute("INSERT OR IGNORE INTO looks VALUES (?, ?)", (size, seen_at)).rowcount:
                database.execute(
                    "DELETE FROM looks WHERE size <= (SELECT size FROM looks ORDER BY size DESC LIMIT 1 OFFSET ?)",
                    (KEPT_LOOKS,),
                )

    def leaf_seen_at(self, leaf: int) -> int | None:
        """Return from when enough witnesses had cosigned a leaf, at the latest; None if nobody looked since."""
        with self._lock:
            (found,) = self._database.execute("SELECT min(seen_at) FROM looks WHERE size > ?", (leaf,)).fetchone()
        return None if found is None else int(found)

    # Openings.

    def opening(self, request: str) -> OpeningRow | None:
        """Return an opening by the hash of its request."""
        return next(iter(self.openings("request = ?", request)), None)

    def openings(self, where: str = "1", *values: object) -> list[OpeningRow]:
        """Return openings, the one that changed last first."""
        with self._lock:
            rows = self._database.execute(
                f"SELECT * FROM openings WHERE {where} ORDER BY changed_at DESC, request",  # noqa: S608
                values,
            ).fetchall()
        return [OpeningRow._make([*row[:8], _json(row[8]), _json(row[9]), row[10]]) for row in rows]

    def keep_opening(self, row: OpeningRow) -> None:
        """Store how far an opening is."""
        written = row._replace(finding=_text(row.finding), verdict=_text(row.verdict))  # type: ignore[arg-type]
        with self._transaction() as database:
            database.execute(f"REPLACE INTO openings VALUES ({','.join('?' * len(row))})", written)  # noqa: S608
            database.execute(
                "DELETE FROM openings WHERE state IN ('refused', 'over') AND request NOT IN "
                "(SELECT request FROM openings ORDER BY changed_at DESC LIMIT ?)",
                (KEPT_OPENINGS,),
            )

    def found(self, run: str) -> Found | None:
        """Return what was computed of a run, unless it is void."""
        kept = self.kept(run)
        return None if kept is None else kept.found

    def kept(self, run: str) -> Kept | None:
        """Return what was computed of a run and who has it, unless it is void."""
        with self._lock:
            row = self._database.execute(f"SELECT {_FOUND} FROM found WHERE run = ?", (run,)).fetchone()  # noqa: S608
        return None if row is None else _kept(row)

    def voided(self, run: str) -> list[Kept]:
        """Return what was found of a run and is void, the oldest first."""
        if not self._has_voids:
            return []
        with self._lock:
            rows = self._database.execute(
                f"SELECT {_FOUND}, void FROM voided WHERE run = ? ORDER BY number",  # noqa: S608
                (run,),
            ).fetchall()
        return [_kept(row)._replace(void=_json(row[-1])) for row in rows]

    def keep_found(
        self, run: str, request: str, found: Found, now: int, session: int = 0, points: tuple[int, ...] = ()
    ) -> Found:
        """Store what was computed of a run, unless something is; return what is stored, for whichever request.

        Args:
            run: hash of its record.
            request: by which it was computed.
            found: what was.
            now: by the custodian's clock.
            session: number of the session.
            points: of the custodians that computed it together; of who found the same before they are more.

        Raises:
            TooManyOpenings: no more runs are remembered.
        """
        with self._transaction() as database:
            known = self.kept(run)
            if known is not None:
                if known.found == found:
                    joined = json.dumps(sorted({*known.points, *points}))
                    database.execute("UPDATE found SET points = ? WHERE run = ?", (joined, run))
                return known.found
            (count,) = database.execute("SELECT count(*) FROM found").fetchone()
            if count >= MAX_FOUND:
                raise TooManyOpenings(f"{count} runs were opened here, and no more are remembered")
            chosen = [None if one is None else json.dumps(one) for one in found[3:]]
            values = (run, request, *found[:3], now, *chosen, session, json.dumps(sorted(points)))
            database.execute(f"INSERT INTO found VALUES ({','.join('?' * len(values))})", values)  # noqa: S608
        return found

    def void_found(self, run: str, void: JsonObject, now: int, most: int) -> None:
        """Remember that what was computed of a run is void, so that something else may be found of it.

        Args:
            run: hash of its record.
            void: what proves it, verified.
            now: by the custodian's clock.
            most: so many findings of one run may be void.

        Raises:
            TooManyVoids: as many are; what is found stays.
        """
        with self._transaction() as database:
            (count,) = database.execute("SELECT count(*) FROM voided WHERE run = ?", (run,)).fetchone()
            if count >= most:
                raise TooManyVoids(f"{count} findings of this run were void before, and what is found now stays")
            database.execute(
                "INSERT INTO voided (run, number, request, breach, maintenance_row, initial_row, maintenance_chosen, "
                "initial_chosen, session, points, void, voided_at) SELECT run, ?, request, breach, maintenance_row, "
                "initial_row, maintenance_chosen, initial_chosen, session, points, ?, ? FROM found WHERE run = ?",
                (count + 1, _text(void), now, run),
            )
            database.execute("DELETE FROM found WHERE run = ?", (run,))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise


def _text(value: JsonObject | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _chosen(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _kept(row: tuple[Any, ...]) -> Kept:
    found = Found(bool(row[0]), row[1], row[2], _chosen(row[3]), _chosen(row[4]))
    return Kept(found, row[5], row[6], tuple(json.loads(row[7])))


def _json(text: str | None) -> JsonObject | None:
    return None if text is None else json.loads(text)
