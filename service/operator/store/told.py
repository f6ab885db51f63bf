"""Say what happened, once it is committed: one line an event, for `entries`, `transitions` and whoever stores a tick.

A line that is told inside a unit of work is written after its commit, and never when that is rolled back or tried
again. Only names, numbers and hashes are told; no amount, no word, no signature.
"""

import logging
from typing import NamedTuple

from sqlalchemy import event
from sqlalchemy.orm import Session

from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.signing import SignedDocument

_log = logging.getLogger("atomic_margin.service.operator")

_WAITING = "atomic-margin told"

WARNED = frozenset(
    {
        EventKind.RUN_VOID, EventKind.PROOF_OVERDUE, EventKind.ANSWER_OVERDUE, EventKind.MARGIN_CALLED,
        EventKind.LIQUIDATED, EventKind.DISPUTED, EventKind.BOOK_GIVEN_UP, EventKind.HALTED,
    }
)  # fmt: skip
"""What the operator's people should look at."""

QUIET = frozenset({EventKind.RUN_OPENED, EventKind.RUN_RECORDED, EventKind.UNIVERSE_REVISED})
"""What is told again in a moment, with more, or of all accounts at once."""


class _Line(NamedTuple):
    level: int
    event: str
    fields: dict[str, object]


def tell(session: Session | None, event_name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Say that something happened, with its fields, once the session commits; at once where there is no session."""
    line = _Line(level, event_name, fields)
    if session is None:
        _write(line)
    else:
        session.info.setdefault(_WAITING, []).append(line)


def tell_entry(session: Session, institution: str, number: int, kind: EventKind, document: SignedDocument) -> None:
    """Say that a document was entered into an account."""
    fields: dict[str, object] = {"institution": institution, "entry": number}
    run = document.body.get("run_id")
    if isinstance(run, str):
        fields["run"] = run
    level = logging.WARNING if kind in WARNED else logging.DEBUG if kind in QUIET else logging.INFO
    tell(session, str(kind), level=level, **fields)


def _write(line: _Line) -> None:
    _log.log(line.level, line.event, extra=line.fields)


@event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    if session.in_nested_transaction():
        return
    for line in session.info.pop(_WAITING, []):
        _write(line)


@event.listens_for(Session, "after_rollback")
def _rolled_back(session: Session) -> None:
    session.info.pop(_WAITING, None)
