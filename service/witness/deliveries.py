"""Deliveries that a witness gives receipts for: the first time of every hash, stored before it is signed.

A receipt is made from its row alone, so that asking again, also after a restart, gives the same bytes. The newest
`KEPT` rows stay; for a hash that was forgotten there is a later receipt, which is worth less and is no lie.
"""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from pathlib import Path

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.protocol.delivery import DeliveryReceipt, DeliveryRequest
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.witness.errors import LogUnknown, TooManyDeliveries

KEPT = 200_000
"""Rows that stay."""
MINUTE_SECONDS = 60
PER_MINUTE = 60
"""New hashes that one address may bring in a minute."""
ADDRESSES = 4096
"""Addresses that are counted in a minute; more than these wait for the next one."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, log TEXT NOT NULL, document TEXT NOT NULL, received_at TEXT NOT NULL,
    UNIQUE (log, document)
)
"""


class Deliveries:
    """The receipts of one witness; any thread may ask."""

    def __init__(self, path: Path, identity: Identity, logs: Collection[str], clock: Callable[[], int]) -> None:
        """Open the database; made if absent.

        Args:
            path: of the database.
            identity: of the witness.
            logs: origins that receipts are given for.
            clock: seconds of the epoch.
        """
        self._identity, self._logs, self._clock = identity, frozenset(logs), clock
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(_SCHEMA)
        self._minute, self._brought = 0, Counter[str]()

    def receipt(self, asked: DeliveryRequest, address: str) -> SignedDocument:
        """Return the receipt of a document: that of the first time, if there was one.

        Args:
            asked: log and hash.
            address: who asks, for the limit.

        Raises:
            LogUnknown: meant for a log that this witness does not watch.
            TooManyDeliveries: the address brought too many in this minute, or too many addresses did.
        """
        if asked.log not in self._logs:
            raise LogUnknown(f"this witness knows no log {asked.log!r}")
        with self._lock:
            received_at = self._known(asked)
            if received_at is None:
                self._count(address)
                received_at = instant_text(datetime.fromtimestamp(self._clock(), timezone.utc))
                self._store(asked, received_at)
        said = {
            "log": asked.log,
            "document": asked.document,
            "witness": self._identity.public_key,
            "received_at": received_at,
        }
        return DeliveryReceipt.parse(said).signed_by(self._identity)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _known(self, asked: DeliveryRequest) -> str | None:
        query = "SELECT received_at FROM deliveries WHERE log = ? AND document = ?"
        row = self._database.execute(query, (asked.log, asked.document)).fetchone()
        return None if row is None else str(row[0])

    def _store(self, asked: DeliveryRequest, received_at: str) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            row = (asked.log, asked.document, received_at)
            added = self._database.execute("INSERT INTO deliveries (log, document, received_at) VALUES (?, ?, ?)", row)
            self._database.execute("DELETE FROM deliveries WHERE id <= ?", ((added.lastrowid or 0) - KEPT,))
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def _count(self, address: str) -> None:
        minute = int(time.monotonic()) // MINUTE_SECONDS
        if minute != self._minute:
            self._minute = minute
            self._brought.clear()
        if self._brought[address] >= PER_MINUTE or (address not in self._brought and len(self._brought) >= ADDRESSES):
            raise TooManyDeliveries(f"at most {PER_MINUTE} new documents a minute; ask again in a minute")
        self._brought[address] += 1
