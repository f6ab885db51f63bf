"""The queries on ticks: the newest, and the last one that had a market."""

from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.ticks import NO_TICK

JsonObject = dict[str, Any]


def newest_tick(session: Session) -> Tick | None:
    """Return the newest tick, void or not."""
    return session.scalar(select(Tick).order_by(Tick.sequence.desc()).limit(1))


class Named(NamedTuple):
    """A tick by number and hash."""

    sequence: int
    sha256: str


def newest_named(session: Session) -> tuple[Named | None, Named | None]:
    """Return the newest tick, and the newest that has a market, without their documents."""
    columns = select(Tick.sequence, Tick.sha256, Tick.void).order_by(Tick.sequence.desc()).limit(1)
    row = session.execute(columns).first()
    if row is None or not row.void:
        named = None if row is None else Named(row.sequence, row.sha256)
        return named, named
    market = session.execute(columns.where(Tick.void.is_(False))).first()
    return Named(row.sequence, row.sha256), None if market is None else Named(market.sequence, market.sha256)


def newest_market(session: Session, before: int | None = None) -> Tick | None:
    """Return the newest tick that has a market, of those below a number if one is given."""
    query = select(Tick).where(Tick.void.is_(False))
    if before is not None:
        query = query.where(Tick.sequence < before)
    return session.scalar(query.order_by(Tick.sequence.desc()).limit(1))


def oldest_market(session: Session, after: int) -> Tick | None:
    """Return the oldest tick that has a market, of those above a number."""
    query = select(Tick).where(Tick.void.is_(False), Tick.sequence > after)
    return session.scalar(query.order_by(Tick.sequence).limit(1))


def last_market_of(session: Session, tick: Tick) -> JsonObject | None:
    """Return the signed tick that `tick` names as the last one with a market, None if it names none."""
    if tick.document["body"]["last_market"] == NO_TICK:
        return None
    row = newest_market(session, tick.sequence)
    return None if row is None else row.document
