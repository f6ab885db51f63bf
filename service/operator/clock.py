"""The operator's clock: it goes on from what is stored, and a jump of the machine's is an alarm, not a freeze.

What dates documents is `documents.clock`. `begin` is called before anything is dated, `ClockWatch` in every round of
the background work.
"""

import logging
from datetime import datetime

from sqlalchemy import func, select

from atomic_margin.documents.clock import CLOCK, SteadyClock
from atomic_margin.documents.strict import instant
from atomic_margin.service.operator.measures import Measures
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import EntryRow, Tick

_log = logging.getLogger(__name__)

_ADVICE = "set this machine's clock right; if it is right, restart the operator to take it"


def begin(store: Store, clock: SteadyClock = CLOCK) -> None:
    """Go on from the newest entry and tick that are stored: nothing is dated before what came first."""
    newest = _newest(store)
    behind = 0.0 if newest is None else clock.not_before(newest)
    if behind > 1:
        _log.warning(
            "the clock of this machine is %.0f s before the newest entry; entries are dated on from that; %s",
            behind,
            _ADVICE,
        )


def _newest(store: Store) -> datetime | None:
    with store.reading() as session:
        entry = session.scalar(select(EntryRow.entry).order_by(EntryRow.leaf.desc()).limit(1))
        received_at = session.scalar(select(func.max(Tick.received_at)))
    dated = [received_at, None if entry is None else entry["body"]["entered_at"]]
    return max((instant(text) for text in dated if text is not None), default=None)


class ClockWatch:
    """Gives alarm when the machine's clock is set."""

    def __init__(self, measures: Measures, clock: SteadyClock = CLOCK) -> None:
        """Jumps from now on count."""
        self._measures, self._clock = measures, clock
        self._seen = clock.jumps

    def look(self) -> bool:
        """Look once; return whether the clock jumped since the last look."""
        self._clock.now()
        jumps = self._clock.jumps - self._seen
        if not jumps:
            return False
        self._seen += jumps
        self._measures.clock_jumps.inc(jumps)
        _log.warning(
            "the clock of this machine jumped by %+.0f s; times to answer go on as before; %s",
            self._clock.last_jump,
            _ADVICE,
        )
        return True
