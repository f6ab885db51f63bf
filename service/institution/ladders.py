"""The institution's own margin ladder: what its book in force leaves in every scenario, at the newest tick. Private."""

from dataclasses import dataclass

from atomic_margin.documents.strict import format_instant
from atomic_margin.margin.analysis import Account, Ladder, ladder
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.institution.gains import newest_prices
from atomic_margin.service.institution.party import Party


@dataclass(frozen=True)
class OwnLadder:
    """A ladder with its tick.

    Attributes:
        tick: number of the tick.
        as_of: time of its prices.
        ladder: what is left, USD, before rounding.
    """

    tick: int
    as_of: str
    ladder: Ladder


def own_ladder(party: Party) -> OwnLadder | None:
    """Return the ladder of the book in force; None without a book, or before the first prices.

    Raises:
        AgentRefused, RemoteError: the newest tick cannot be followed.
        MarginError: the prices do not value the book.
    """
    state, priced = party.history.state, newest_prices(party)
    book = None if state is None else state.public.book
    own = None if book is None else party.store.submission(book.submission)
    if state is None or book is None or own is None or priced.market is None:
        return None
    terms = party.terms
    published = terms.published(priced.market, book.universe)
    account = Account(
        terms.model, published, Portfolio.parse(own.portfolio), terms.model.on_ledger(state.public.posted)
    )
    return OwnLadder(priced.number, format_instant(priced.market.as_of), ladder(account))
