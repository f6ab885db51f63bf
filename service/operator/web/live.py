"""What happens at the operator, as it happens: one thread reads what was entered, and wakes the streams about it.

It looks when a unit of work that appended to the log was committed, and now and then besides, for those of another
process. The newest leaves stay in memory, so that a stream which follows asks the database for nothing; one that
resumes from further back reads pages of it. Nothing here says more than the entries endpoint, the log's tiles and the
operator's own calls say to the same caller.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from atomic_margin.service.http.events import Event, Wakes
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.tables import EntryRow, LogLeaf, Run
from atomic_margin.service.operator.web.owed import OwedAnswers
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.live_messages import EntryEvent, LogEvent, OwedReminder

LOG = ""
"""Topic of what everybody may see; that of an institution is its name."""
NET_SECONDS = 2.0
"""Between two looks that no commit of this process asked for."""
KEPT = 4096
"""Leaves that stay in memory."""
PAGE = 256
"""Events that are read from the database at once."""
KEPT_REMINDERS = 1024
_REPLACED = str(EventKind.IDENTITY_ROTATED)

_log = logging.getLogger(__name__)


class Happened(NamedTuple):
    """A leaf of the log.

    Attributes:
        leaf: its number.
        shown: as the log serves it.
        institution: whose entry it is, if it is one.
        entry: the same for the institution; None likewise.
    """

    leaf: int
    shown: dict[str, object]
    institution: str | None
    entry: EntryEvent | None


class Reminded(NamedTuple):
    """A reminder that was given."""

    serial: int
    institution: str
    reminder: OwedReminder


class Live:
    """The operator's newest leaves, and who is told of them."""

    def __init__(self, operator: Operator) -> None:
        """Prepare; `start` begins."""
        self._operator = operator
        self.wakes = Wakes()
        self._lock = threading.Lock()
        self._newest: deque[Happened] = deque(maxlen=KEPT)
        self._floor = self._last = -1
        self._reminded: deque[Reminded] = deque(maxlen=KEPT_REMINDERS)
        self._serial = 0
        self._owed = OwedAnswers(operator)
        self._grew, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="live", daemon=True)

    def start(self) -> None:
        """Begin at the end of the log."""
        with self._operator.store.reading() as session:
            self._floor = self._last = log.size(session) - 1
        event.listen(Session, "after_commit", self._committed)
        self._thread.start()

    def stop(self) -> None:
        """End every stream, and the thread."""
        self.wakes.close()
        if self._thread.is_alive():
            event.remove(Session, "after_commit", self._committed)
            self._stop.set()
            self._grew.set()
            self._thread.join(timeout=10)

    @property
    def last(self) -> int:
        """Number of the newest leaf that was looked at, -1 before the first."""
        with self._lock:
            return self._last

    @property
    def serial(self) -> int:
        """Number of the newest reminder."""
        with self._lock:
            return self._serial

    def since(self, leaf: int) -> list[Happened] | None:
        """Return what came after a leaf, oldest first; None if memory does not reach back to it."""
        with self._lock:
            if leaf < self._floor:
                return None
            found: list[Happened] = []
            for one in reversed(self._newest):
                if one.leaf <= leaf:
                    break
                found.append(one)
        return found[::-1]

    def reminded(self, serial: int, institution: str | None) -> list[Reminded]:
        """Return reminders after one of them, of an institution or of all."""
        with self._lock:
            return [
                one
                for one in self._reminded
                if one.serial > serial and (institution is None or one.institution == institution)
            ]

    def _committed(self, session: Session) -> None:
        # Of any database of this process; a look at another operator's costs nothing.
        if session.info.get(log.GREW):
            self._grew.set()

    def _work(self) -> None:
        failing = False
        while not self._stop.is_set():
            self._grew.clear()
            try:
                self._look()
                failing = False
            except Exception as error:
                # A database that is locked or full for a while must not end what everybody follows.
                if not failing:
                    _log.warning("events are late: %s: %s", type(error).__name__, error)
                    _log.debug("it came from", exc_info=error)
                failing = True
            self._grew.wait(NET_SECONDS if failing else min(NET_SECONDS, self._owed.until_next()))

    def _look(self) -> None:
        while True:
            with self._operator.store.reading() as session:
                page = leaves_after(session, self._last, PAGE)
            if page:
                self._take(page)
                self._owed.changed()
            if len(page) < PAGE:
                break
        self._remind()

    def _take(self, page: list[Happened]) -> None:
        with self._lock:
            for one in page:
                if len(self._newest) == KEPT:
                    self._floor = self._newest[0].leaf
                self._newest.append(one)
            self._last = page[-1].leaf
        self.wakes.wake([LOG, *{one.institution for one in page if one.institution is not None}])

    def _remind(self) -> None:
        institutions = []
        for institution, reminder in self._owed.due():
            with self._lock:
                self._serial += 1
                self._reminded.append(Reminded(self._serial, institution, reminder))
            institutions.append(institution)
            _log.info("run %s has no answer after %d %% of its time", reminder.run_id, reminder.percent)
        if institutions:
            self.wakes.wake([LOG, *institutions])


def leaves_after(session: Session, leaf: int, limit: int) -> list[Happened]:
    """Return up to `limit` leaves after one of them, with the entries that they are of."""
    query = select(LogLeaf.number, LogLeaf.entry).where(LogLeaf.number > leaf).order_by(LogLeaf.number).limit(limit)
    leaves = session.execute(query).all()
    if not leaves:
        return []
    rows = _entries(session, EntryRow.leaf > leaf, EntryRow.leaf <= leaves[-1].number)
    entries = {at: (institution, entry) for at, institution, entry in rows}
    return [Happened(number, json.loads(bytes(data)), *entries.get(number, (None, None))) for number, data in leaves]


def entries_after(session: Session, institution: str, number: int, limit: int) -> list[EntryEvent]:
    """Return up to `limit` entries of an account after one of them."""
    found = _entries(session, EntryRow.institution == institution, EntryRow.number > number, limit=limit)
    return [entry for _, _, entry in found]


def _entries(session: Session, *conditions: object, limit: int = PAGE) -> Iterable[tuple[int, str, EntryEvent]]:
    columns = (EntryRow.leaf, EntryRow.institution, EntryRow.number, EntryRow.kind, EntryRow.sha256, EntryRow.subject)
    query = select(*columns).where(*conditions).order_by(EntryRow.leaf).limit(limit)  # type: ignore[arg-type]
    rows = session.execute(query).all()
    recorded = [row.subject for row in rows if row.kind == str(EventKind.RUN_RECORDED)]
    runs = {}
    if recorded:
        of_run = select(Run.record_hash, Run.run_id, Run.deadline).where(Run.record_hash.in_(recorded))
        runs = {hash_: (run_id, deadline) for hash_, run_id, deadline in session.execute(of_run)}
    for row in rows:
        run_id, deadline = runs.get(row.subject, (None, None))
        yield (
            row.leaf,
            row.institution,
            EntryEvent(
                number=row.number,
                kind=row.kind,
                sha256=row.sha256,
                subject=row.subject,
                run_id=run_id,
                deadline=deadline,
            ),
        )


class AccountSource:
    """The entries of one account, for its institution and the operator's people."""

    def __init__(
        self, live: Live, operator: Operator, institution: str, after: int, key_until: int | None = None
    ) -> None:
        """Go on after an entry; `key_until` is the last entry that the key which opened the stream is known to reach.

        Nothing comes after an entry beyond that by which the key is replaced.
        """
        self._key_until, self._over = key_until, False
        self._live, self._operator = live, operator
        self._institution, self._after = institution, after
        # Nothing in memory was looked at yet: what came before this stream is read.
        self._leaf, self._serial = -2, live.serial

    @property
    def topic(self) -> str:
        """What wakes the stream."""
        return self._institution

    @property
    def over(self) -> bool:
        """Whether the key that opened the stream was replaced."""
        return self._over

    def at_hand(self) -> list[Event] | None:
        """Return what comes next from memory, with reminders; None if it has to be read."""
        found = self._live.since(self._leaf) if self._leaf >= -1 else None
        if found is None:
            return None
        self._leaf = found[-1].leaf if found else self._leaf
        mine = [one.entry for one in found if one.institution == self._institution and one.entry is not None]
        events = self._events(mine)
        return events if self._over else events + self._reminders()

    def read(self) -> list[Event]:
        """Return a page of what comes next."""
        last = self._live.last
        with self._operator.store.reading() as session:
            page = entries_after(session, self._institution, self._after, PAGE)
        if len(page) < PAGE:
            # All of it, up to what is in memory.
            self._leaf = last
        return self._events(page)

    def _events(self, entries: list[EntryEvent]) -> list[Event]:
        new = [one for one in entries if one.number > self._after]
        if new:
            self._after = new[-1].number
        return [Event(one.number, one.kind, _shown(one.to_json())) for one in self._allowed(new)]

    def _allowed(self, entries: list[EntryEvent]) -> list[EntryEvent]:
        """Return what comes until the key that opened the stream is replaced."""
        allowed: list[EntryEvent] = []
        for one in entries:
            if self._over:
                break
            allowed.append(one)
            later = self._key_until is not None and one.number > self._key_until
            self._over = later and one.kind == _REPLACED
        return allowed

    def _reminders(self) -> list[Event]:
        found = self._live.reminded(self._serial, self._institution)
        if found:
            self._serial = found[-1].serial
        return [Event(None, "reminder", one.reminder.to_json()) for one in found]


class LogSource:
    """The leaves of the log, for anybody; for the operator's people with the accounts that they are of."""

    def __init__(self, live: Live, operator: Operator, after: int, *, names: bool) -> None:
        """Go on after a leaf; `names` says whose an entry is."""
        self._live, self._operator, self._names = live, operator, names
        self._leaf, self._serial = after, live.serial

    @property
    def topic(self) -> str:
        """What wakes the stream."""
        return LOG

    @property
    def over(self) -> bool:
        """Never: it is for anybody."""
        return False

    def at_hand(self) -> list[Event] | None:
        """Return what comes next from memory, with reminders; None if it has to be read."""
        found = self._live.since(self._leaf)
        return None if found is None else self._events(found) + (self._reminders() if self._names else [])

    def read(self) -> list[Event]:
        """Return a page of what comes next."""
        with self._operator.store.reading() as session:
            return self._events(leaves_after(session, self._leaf, PAGE))

    def _events(self, found: list[Happened]) -> list[Event]:
        if found:
            self._leaf = found[-1].leaf
        return [Event(one.leaf, str(one.shown["kind"]), self._said(one)) for one in found]

    def _said(self, one: Happened) -> dict[str, object]:
        named = {"institution": one.institution, "entry": one.entry} if self._names else {}
        return _shown(LogEvent(number=one.leaf, leaf=one.shown, **named).to_json())  # type: ignore[arg-type]

    def _reminders(self) -> list[Event]:
        found = self._live.reminded(self._serial, None)
        if found:
            self._serial = found[-1].serial
        return [Event(None, "reminder", one.reminder.to_json() | {"institution": one.institution}) for one in found]


def _shown(said: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in said.items() if value is not None}
