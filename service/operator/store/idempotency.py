"""Answers to requests with an `Idempotency-Key`, kept for a day; `service.http.idempotency` asks for them."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, LargeBinary, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from atomic_margin.service.http.idempotency import KeptAnswer
from atomic_margin.service.operator.store.tables import Base

KEPT_FOR = timedelta(hours=24)
MAX_OF_A_CALLER = 1024
MAX_OF_ALL = 65_536
_PRUNE_SECONDS = 600

_log = logging.getLogger(__name__)


class IdempotencyRow(Base):
    """What one request was answered with, under the key that its caller gave it. `at` is in seconds since 1970."""

    __tablename__ = "idempotency"
    caller: Mapped[str] = mapped_column(String(128), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    media_type: Mapped[str] = mapped_column(String(128))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[int] = mapped_column(BigInteger, index=True)


def find_answer(session: Session, caller: str, key: str, now: datetime) -> KeptAnswer | None:
    """Return what is kept under a caller's key, unless it is too old."""
    row = session.get(IdempotencyRow, (caller, key))
    if row is None or row.at <= _seconds(now - KEPT_FOR):
        return None
    return KeptAnswer(row.digest, row.status, row.media_type, row.body)


def keep_answer(session: Session, caller: str, key: str, answer: KeptAnswer, now: datetime) -> None:
    """Keep an answer; a caller's oldest one makes place for it. One that is kept under the key already stays."""
    if find_answer(session, caller, key, now) is not None:
        return
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.caller == caller, IdempotencyRow.key == key))
    session.add(IdempotencyRow(caller=caller, key=key, at=_seconds(now), **answer._asdict()))
    session.flush()
    own = IdempotencyRow.caller == caller
    count = session.scalar(select(func.count()).select_from(IdempotencyRow).where(own)) or 0
    if count > MAX_OF_A_CALLER:
        oldest = select(IdempotencyRow.key).where(own).order_by(IdempotencyRow.at).limit(count - MAX_OF_A_CALLER)
        session.execute(delete(IdempotencyRow).where(own, IdempotencyRow.key.in_(session.scalars(oldest).all())))


def prune_idempotency(session: Session, now: datetime) -> int:
    """Remove answers older than a day, and the oldest ones beyond the most that are kept; return how many."""
    dropped = session.execute(delete(IdempotencyRow).where(IdempotencyRow.at <= _seconds(now - KEPT_FOR)))
    removed = int(getattr(dropped, "rowcount", 0))
    beyond = select(IdempotencyRow.at).order_by(IdempotencyRow.at.desc()).offset(MAX_OF_ALL).limit(1)
    newest_beyond = session.scalar(beyond)
    if newest_beyond is not None:
        dropped = session.execute(delete(IdempotencyRow).where(IdempotencyRow.at <= newest_beyond))
        removed += int(getattr(dropped, "rowcount", 0))
    return removed


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


class KeptAnswers:
    """The table, as the middleware sees it; it is pruned every ten minutes that something is kept in."""

    def __init__(
        self, unit_of_work: Callable[[], AbstractContextManager[Session]], now: Callable[[], datetime]
    ) -> None:
        """`unit_of_work` is that of the operator's store."""
        self._unit_of_work, self._now = unit_of_work, now
        self._pruned = time.monotonic()

    def find(self, caller: str, key: str) -> KeptAnswer | None:
        """Return what is kept under a caller's key."""
        with self._unit_of_work() as session:
            return find_answer(session, caller, key, self._now())

    def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep an answer."""
        with self._unit_of_work() as session:
            keep_answer(session, caller, key, answer, self._now())
        if time.monotonic() - self._pruned > _PRUNE_SECONDS:
            self._pruned = time.monotonic()
            with self._unit_of_work() as session:
                removed = prune_idempotency(session, self._now())
            _log.info("%d kept answers removed", removed)
