"""When the time to answer is over by the clocks of the operator's witnesses, as whoever checks it wants it shown."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import checkpoints
from atomic_margin.service.protocol.evidence import Evidence


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

    Without witnesses there is nothing to show: the operator's own clock, which its caller looked at, counts alone.

    Args:
        session: of a unit of work.
        operator: whose settings say how many witnesses are wanted.
        leaf: number of the entry's leaf in the log.
        seconds: the time there is.
    """
    if not operator.settings.policy_of_log.needed:
        return Clock(None, None)
    begins = checkpoints.first_with(session, leaf)
    if begins is None or begins.seen_at is None:
        return None
    ends = checkpoints.first_seen(session, begins, begins.seen_at + seconds)
    return None if ends is None else Clock(checkpoints.evidence_in(session, begins, [leaf]), ends.note)
