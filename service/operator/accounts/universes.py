"""Announce a revision of the universe: every account gets an entry about it, and books may go over to it.

The old one takes books until its end, by the time of prices. Ticks are made only of prices that value every universe in
force; what is still open or owed in an older one is valued as long as prices do.
"""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.documents.strict import instant
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.errors import NotFound, Refused
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import newest_market
from atomic_margin.service.operator.store.tables import Account, UniverseRow
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.protocol.account.events import UniverseRevision

JsonObject = dict[str, Any]

MAX_UNIVERSES = 1000


def announce(operator: Operator, document: object, until: str) -> str:
    """Publish a revision of the universe, and enter it into every account; return its hash.

    Args:
        operator: who lists it.
        document: the universe, as it arrived.
        until: the last moment, by the time of prices, at which books in the one before are taken.

    Raises:
        DocumentError: it is no universe, or cannot follow the one before, or the newest prices do not value it.
        Refused: the old one would end before the newest prices, or there are too many universes.
    """
    universe = Universe.parse(document)
    with operator.announcing:
        before = operator.terms.universe.hash()
        with operator.store.reading() as session:
            market = _market(session)
            if market is not None and instant(until) <= market.as_of:
                raise Refused("the universe before would end before the newest prices: give notice", "until")
            number = len(session.scalars(select(UniverseRow.number)).all()) + 1
            if number > MAX_UNIVERSES:
                raise Refused(f"there are {MAX_UNIVERSES} revisions already", "universe")
        operator.terms.check_revision(universe)
        if market is not None:
            operator.terms.model.rows(universe, market)
        revision = UniverseRevision.parse(
            {
                "operator": operator.identity.public_key,
                "before": before,
                "universe": universe.hash(),
                "until": until,
                "announced_at": now_text(),
            }
        )
        signed = revision.signed_by(operator.identity)
        with operator.store.unit_of_work() as session:
            session.add(
                UniverseRow(
                    number=number,
                    sha256=universe.hash(),
                    document=universe.canonical(),
                    until=until,
                    revision=signed.to_json(),
                )
            )
            for account in session.scalars(select(Account).order_by(Account.institution)):
                entries.enter(session, operator.book, account, signed)
            tell(session, "universe announced", universe=universe.name, number=number)
        operator.terms.take_revision(universe)
        operator.ends[before] = instant(until)
    return universe.hash()


def universe_document(operator: Operator, sha256: str) -> Any:
    """Return a published universe by its hash.

    Raises:
        NotFound: there is none.
    """
    for universe in operator.terms.universes:
        if universe.hash() == sha256:
            return universe.canonical()
    raise NotFound(f"no universe {sha256} was published here", "hash")


def revisions(session: Session) -> list[JsonObject]:
    """Return every signed revision, in order: what leads from one universe to another."""
    return list(session.scalars(select(UniverseRow.revision).order_by(UniverseRow.number)))


def _market(session: Session) -> Market | None:
    row = newest_market(session)
    return None if row is None else Market.parse(row.document["body"]["market"])
