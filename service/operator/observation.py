"""What an observer sees of an operator: counts, ages and sizes from its database and its disk, without the write lock.

For `web.metrics` and `health`, which are asked every few seconds. No account is named, nothing is stored.
"""

import threading
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from atomic_margin.documents.strict import instant
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.addresses import DATABASE_FILE
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account, EnrolledKeys, Run, ShortfallRow, Tick
from atomic_margin.service.protocol.states import AccountState, RunState, ShortfallState

S = TypeVar("S", AccountState, RunState, ShortfallState)

READ_SECONDS = 5.0
"""Longest time that a look waits for the database."""
STUCK_SECONDS = 900.0
"""A run that is evaluated for longer is stuck: the longest that an evaluation may take, and half of it again."""


class Observed(NamedTuple):
    """What one look shows.

    Attributes:
        accounts: how many are in each state.
        runs: how many are in each state.
        shortfalls: how many are in each state.
        due_seconds: age of the oldest tick that a run waits on, 0 if none waits.
        evaluating: what is being evaluated, by name.
        tick: number of the newest tick, 0 if there is none.
        leaves: of the log.
        published: leaves under the newest checkpoint.
        cosignatures: that its note has, by witnesses that are asked.
        database_bytes: size of the database.
        keys: hashes of confirmed evaluation keys.
    """

    accounts: Mapping[AccountState, int]
    runs: Mapping[RunState, int]
    shortfalls: Mapping[ShortfallState, int]
    due_seconds: float
    evaluating: frozenset[str]
    tick: int
    leaves: int
    published: int
    cosignatures: int
    database_bytes: int
    keys: tuple[str, ...]


def observe(operator: Operator, moment: datetime | None = None) -> Observed:
    """Look at the database once.

    Raises:
        DatabaseBusy: it does not answer.
    """
    with operator.store.reading(READ_SECONDS) as session:
        oldest = session.scalar(
            select(func.min(Tick.received_at))
            .join(Run, Run.price_sequence == Tick.sequence)
            .where(Run.state == RunState.SCHEDULED)
        )
        checkpoint = log.newest_checkpoint(session)
        return Observed(
            accounts=_counted(session, Account.state, AccountState),
            runs=_counted(session, Run.state, RunState),
            shortfalls=_counted(session, ShortfallRow.state, ShortfallState),
            due_seconds=0.0 if oldest is None else max(0.0, ((moment or now()) - instant(oldest)).total_seconds()),
            evaluating=_evaluating(session),
            tick=session.scalar(select(func.max(Tick.sequence))) or 0,
            leaves=log.size(session),
            published=0 if checkpoint is None else checkpoint.size,
            cosignatures=0 if checkpoint is None else _cosignatures(operator, checkpoint.note),
            database_bytes=_size(operator, session),
            keys=tuple(session.scalars(select(EnrolledKeys.evaluation_keys).where(EnrolledKeys.confirmed))),
        )


class Stuck:
    """Remembers since when something is evaluated; safe to call from several threads."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def count(self, evaluating: frozenset[str]) -> int:
        """Return how many of these have been evaluated for too long, as far as was looked."""
        moment = time.monotonic()
        with self._lock:
            self._since = {name: self._since.get(name, moment) for name in evaluating}
            return sum(moment - since > STUCK_SECONDS for since in self._since.values())


def _counted(session: Session, column: InstrumentedAttribute[S], states: type[S]) -> dict[S, int]:
    found = {row[0]: row[1] for row in session.execute(select(column, func.count()).group_by(column))}
    return {state: found.get(state, 0) for state in states}


def _evaluating(session: Session) -> frozenset[str]:
    runs = session.execute(select(Run.run_id, Run.attempts).where(Run.state == RunState.EVALUATING))
    shortfalls = session.execute(
        select(ShortfallRow.run_id, ShortfallRow.attempts).where(ShortfallRow.state == ShortfallState.EVALUATING)
    )
    # Another attempt is another evaluation.
    named = [("run", *row) for row in runs] + [("shortfall", *row) for row in shortfalls]
    return frozenset(f"{kind} {run_id} {attempts}" for kind, run_id, attempts in named)


def _cosignatures(operator: Operator, note: str) -> int:
    checkpoint = Checkpoint.parse(note)
    return sum(checkpoint.note.signature_of(key) is not None for _, key in operator.settings.witnesses)


def _size(operator: Operator, session: Session) -> int:
    if not operator.store.sqlite:
        return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    name = operator.store.url.database
    path = operator.settings.directory / DATABASE_FILE if name is None else Path(name)
    beside = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in beside if file.exists())
