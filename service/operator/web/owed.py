"""Answers that are to come, and when their institutions are reminded of them. `live` asks, from its one thread.

Thousands may be awaited while runs are recorded and answered several times a second. So what is known of them is read
once, and which of them are left is asked again only as often as the asking takes a tenth of the time, or before a
reminder is given.
"""

import heapq
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.strict import instant
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.line import SHARE
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.live_messages import OwedReminder
from atomic_margin.service.protocol.states import RunState

REMINDED_AT = (50, 90)
"""Per cent of the time to answer."""
AT_ONCE = 256
"""Runs that are read from the database at once."""


class _Owed(NamedTuple):
    institution: str
    deadline: str
    ends: datetime


class OwedAnswers:
    """Which answers are to come, as of the last look."""

    def __init__(self, operator: Operator) -> None:
        """Nothing was looked at yet."""
        self._operator = operator
        self._owed: dict[str, _Owed] = {}
        # Moments of reminders, the next one first; those of answers that came meanwhile stay until it is their turn.
        self._ahead: list[tuple[datetime, int, str]] = []
        self._changed, self._again = True, 0.0

    def changed(self) -> None:
        """Say that answers may have come, or runs that are to be answered."""
        self._changed = True

    def due(self) -> list[tuple[str, OwedReminder]]:
        """Return the reminders that are to be given now, each with its institution; none is returned twice."""
        if self._changed and (time.monotonic() >= self._again or self._is_due()):
            started = time.monotonic()
            with self._operator.store.reading() as session:
                self._look(session)
            self._changed = False
            self._again = time.monotonic() + SHARE * (time.monotonic() - started)
        moment, percents = now(), dict[str, int]()
        while self._ahead and self._ahead[0][0] <= moment:
            _, percent, run_id = heapq.heappop(self._ahead)
            # Of two that are due at once, the later one.
            percents[run_id] = percent
        return [
            (owed.institution, OwedReminder(run_id=run_id, deadline=owed.deadline, percent=percent))
            for run_id, percent in percents.items()
            if (owed := self._owed.get(run_id)) is not None and moment < owed.ends
        ]

    def until_next(self) -> float:
        """Return the seconds until there is something to do that nobody says."""
        soon = [float("inf")]
        if self._ahead:
            soon.append((self._ahead[0][0] - now()).total_seconds())
        if self._changed:
            soon.append(self._again - time.monotonic())
        return max(0.0, min(soon))

    def _is_due(self) -> bool:
        return bool(self._ahead) and self._ahead[0][0] <= now()

    def _look(self, session: Session) -> None:
        awaited = set(session.scalars(select(Run.run_id).where(Run.state == RunState.AWAITING_ANSWER)))
        new = sorted(awaited - self._owed.keys())
        self._owed = {run_id: owed for run_id, owed in self._owed.items() if run_id in awaited}
        for run_id, owed, begins in _owed(session, new):
            self._owed[run_id] = owed
            for percent in REMINDED_AT:
                heapq.heappush(self._ahead, (begins + (owed.ends - begins) * percent / 100, percent, run_id))


def _owed(session: Session, run_ids: Sequence[str]) -> Iterator[tuple[str, _Owed, datetime]]:
    """Yield what is owed of runs, each with the moment from which it is."""
    begins = Run.record["body"]["evaluated_at"].as_string()
    columns = (Run.run_id, Run.institution, begins, Run.deadline)
    for first in range(0, len(run_ids), AT_ONCE):
        query = select(*columns).where(Run.run_id.in_(run_ids[first : first + AT_ONCE]))
        for run_id, institution, begun, deadline in session.execute(query):
            if begun is not None and deadline is not None:
                yield run_id, _Owed(institution, deadline, instant(deadline)), instant(begun)
