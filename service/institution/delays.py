"""Whether a breach waited longer than the operator's breaker rules let it, by the times that the operator signed."""

import logging

from sqlalchemy.orm import Session

from atomic_margin.documents.strict import instant
from atomic_margin.service.institution.store import OwnEntry
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.halt_documents import Halt
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.documents import Settlement

GRACE_SECONDS = 60
"""What it may take to verify an answer once more, and to settle those before it."""

_log = logging.getLogger(__name__)


def warn_if_late(session: Session, rules: BreakerRules | None, settlement: Settlement) -> int | None:
    """Return by how many seconds a settlement is late, and say so in the log; None if it is not, or nobody can tell.

    It is followed all the same: a breach that is settled late is settled. While the operator halts, nobody can tell.

    Args:
        session: of the institution's database, before the entry of the settlement is stored.
        rules: those that the trust file pins.
        settlement: what was entered.
    """
    if rules is None:
        return None
    answer = session.query(OwnEntry).filter_by(document_hash=settlement.answer).first()
    if answer is None or _halted_since(session, answer):
        return None
    waited = int((instant(settlement.settled_at) - instant(answer.entry["body"]["entered_at"])).total_seconds())
    late = waited - rules.longest_delay_seconds
    if late <= GRACE_SECONDS:
        return None
    _log.warning("run %s was settled %d seconds after the longest delay of the breaker rules", settlement.run_id, late)
    return late


def _halted_since(session: Session, answer: OwnEntry) -> bool:
    """Return whether a halt began or ended after an entry, or was in force then."""
    kinds = [str(EventKind.HALTED), str(EventKind.RESUMED)]
    last = session.query(OwnEntry).filter(OwnEntry.kind.in_(kinds)).order_by(OwnEntry.number.desc()).first()
    if last is None or last.number > answer.number:
        return last is not None
    if last.kind == str(EventKind.RESUMED) or last.document is None:
        return False
    return int(answer.entry["body"]["tick_sequence"]) <= Halt.parse(last.document["body"]).until
