"""Where the log is, and what somebody of the staff should look at: limited queries, for `overviews`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.strict import instant
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import checkpoints, entries, log
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account, Run, Tick
from atomic_margin.service.protocol.states import AccountState, RunState

STUCK_SECONDS = 600
"""A run that is evaluated for longer, or waits for its turn so long, is named."""


@dataclass(frozen=True)
class LogHead:
    """The newest checkpoint of the log, and who cosigned it.

    Attributes:
        key: of the log.
        leaves: how many entries there are.
        size: of the newest checkpoint; None while there is none.
        root: its root hash, in hex.
        published_at: when.
        needed: how many cosignatures runs rest on.
        witnesses: name, address and whether it cosigned the newest checkpoint.
        believed: size of the newest checkpoint with enough cosignatures.
    """

    key: str
    leaves: int
    size: int | None
    root: str | None
    published_at: str | None
    needed: int
    witnesses: tuple[tuple[str, str, bool], ...]
    believed: int | None


def log_head(operator: Operator) -> LogHead:
    """Return where the log is."""
    with operator.store.reading() as session:
        return head_of(operator, session)


def head_of(operator: Operator, session: Session) -> LogHead:
    """Return the same in a session that is there."""
    row, believed = log.newest_checkpoint(session), checkpoints.newest(session)
    checkpoint = None if row is None else Checkpoint.parse(row.note)
    signed = [
        (key.name, url, checkpoint is not None and checkpoint.note.signature_of(key) is not None)
        for url, key in operator.settings.witnesses
    ]
    return LogHead(
        key=str(operator.log_key),
        leaves=log.size(session),
        size=None if row is None else row.size,
        root=None if checkpoint is None else checkpoint.head.root.hex(),
        published_at=None if row is None else row.published_at,
        needed=operator.settings.policy_of_log.needed,
        witnesses=tuple(signed),
        believed=None if believed is None else believed.size,
    )


@dataclass(frozen=True)
class Alarm:
    """Something that somebody should look at.

    Attributes:
        what: in a few words.
        detail: what it is about.
        serious: whether it holds money up.
    """

    what: str
    detail: str
    serious: bool = True


def alarms_of(operator: Operator, session: Session, tick: Tick | None, head: LogHead) -> Iterable[Alarm]:
    """Yield what somebody should look at, the most general first."""
    halt = halts.in_force(session, entries.newest(session))
    if halt is not None:
        body = halt.document["body"]
        yield Alarm("halted", f"{', '.join(body['scope'])} until tick {body['until']}: {body['reason']}")
    frozen = select(Account.institution).where(Account.state == AccountState.FROZEN).order_by(Account.institution)
    for name in session.scalars(frozen.limit(20)):
        yield Alarm(str(AccountState.FROZEN), f"{name} owes a proof of its book")
    lost = select(Account.institution).where(Account.state == AccountState.IN_DEFAULT).order_by(Account.institution)
    for name in session.scalars(lost.limit(20)):
        yield Alarm("in default", f"{name} was liquidated; its default is to be closed out")
    present = now()
    late = select(Run.run_id, Run.deadline).where(Run.state == RunState.AWAITING_ANSWER, Run.deadline.is_not(None))
    for run_id, deadline in session.execute(late.order_by(Run.deadline).limit(20)):
        if instant(str(deadline)) < present:
            yield Alarm("overdue", f"run {run_id} was to be answered until {deadline}")
    if tick is not None and present - instant(tick.received_at) > timedelta(seconds=STUCK_SECONDS):
        for state, said in ((RunState.EVALUATING, "is still evaluated"), (RunState.SCHEDULED, "still waits")):
            stuck = select(Run.run_id).where(Run.state == state).order_by(Run.price_sequence).limit(10)
            for run_id in session.scalars(stuck):
                yield Alarm("stuck", f"run {run_id} {said}, and the newest tick came at {tick.received_at}")
    verified = select(Run.run_id).where(Run.state == RunState.BREACH_VERIFIED).order_by(Run.price_sequence)
    for run_id in session.scalars(verified.limit(20)):
        yield Alarm("not settled", f"run {run_id} is a proven breach that waits for its settlement")
    for trouble in operator.rail.troubles(session):
        yield Alarm("rail", f"run {trouble.run_id}: {trouble.what}" if trouble.run_id else trouble.what)
    failed = select(Run.run_id, Run.problem).where(Run.state == RunState.FAILED)
    for run_id, problem in session.execute(failed.order_by(Run.price_sequence.desc()).limit(5)):
        yield Alarm("failed", f"run {run_id}: {problem or 'no reason is stored'}")
    missing = [name for name, _, signed in head.witnesses if not signed]
    if head.size and missing:
        few = len(head.witnesses) - len(missing) < head.needed
        yield Alarm("witnesses missing", f"{', '.join(missing)} did not cosign the newest checkpoint", few)
