"""The queries on ticks: the newest, and the last one that had a market."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.ticks import NO_TICK

JsonObject = dict[str, Any]


def newest_tick(session: Session) -> Tick | None:
    """Return the newest tick, void or not."""
    return session.scalar(select(Tick).order_by(Tick.sequence.desc()).limit(1))


def newest_market(session: Session, before: int | None = None) -> Tick | None:
    """Return the newest tick that has a market, of those below a number if one is given."""
    query = select(Tick).where(Tick.void.is_(False))
    if before is not None:
        query = query.where(Tick.sequence < before)
    return session.scalar(query.order_by(Tick.sequence.desc()).limit(1))


def last_market_of(session: Session, tick: Tick) -> JsonObject | None:
    """Return the signed tick that `tick` names as the last one with a market, None if it names none."""
    if tick.document["body"]["last_market"] == NO_TICK:
        return None
    row = newest_market(session, tick.sequence)
    return None if row is None else row.document
