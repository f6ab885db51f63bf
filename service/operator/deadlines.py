"""When the time to answer is over: by the witnesses' clocks, and by the operator's own where it has no witnesses."""

import json
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import checkpoints
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import LogLeaf
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.leaves import EntryLeaf


class Clock(NamedTuple):
    """What shows that a time is over, as an `Overdue` carries it.

    Attributes:
        begins: that the entry is in a checkpoint, the first one with enough cosignatures; None without witnesses.
        ends: a checkpoint that as many saw when the time was over; None likewise.
    """

    begins: Evidence | None
    ends: str | None


def clock(session: Session, operator: Operator, leaf: int, seconds: int) -> Clock | None:
    """Return what shows that the time which began with an entry is over; None while it is not.

    Args:
        session: of a unit of work.
        operator: whose settings say how many witnesses are wanted.
        leaf: number of the entry's leaf in the log.
        seconds: the time there is.
    """
    if not operator.settings.policy_of_log.needed:
        entry = EntryLeaf.parse(json.loads(session.get_one(LogLeaf, leaf).entry))
        entered = datetime.fromisoformat(entry.entered_at.replace("Z", "+00:00"))
        return Clock(None, None) if now() >= entered + timedelta(seconds=seconds) else None
    begins = checkpoints.first_with(session, leaf)
    if begins is None or begins.seen_at is None:
        return None
    ends = checkpoints.first_seen(session, begins, begins.seen_at + seconds)
    return None if ends is None else Clock(checkpoints.evidence_in(session, begins, [leaf]), ends.note)
