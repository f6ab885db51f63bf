"""Books that an agent brings again by itself: under new keys, at new prices, in a new universe.

Institution only. One at a time: what is under way comes first.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.revisions import carried, is_settled
from atomic_margin.service.errors import AgentRefused, DealOpen
from atomic_margin.service.institution.outbox import STALE, Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.institution.submissions import CommittedBook
from atomic_margin.service.protocol.account.state import Account, Book
from atomic_margin.service.protocol.states import ENDED, AccountState
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick

_RENEWALS = 4  # books that one round brings again at most: two under new keys, and one at new prices or elsewhere
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Renewal:
    """A book that has to be brought.

    Attributes:
        portfolio: what it holds.
        submission: whose commitments, limit and columns it keeps; None for a book that is committed to anew.
        committed: what opens those commitments; None likewise.
    """

    portfolio: Portfolio
    submission: Submission | None = None
    committed: CommittedBook | None = None


def due(party: Party, outbox: Outbox) -> Renewal | None:
    """Return the book that has to be brought next, or None.

    Raises:
        AgentRefused, RemoteError: the newest prices cannot be followed.
    """
    state = party.history.state
    if state is None or any(isinstance(row, OwnSubmission) for row in outbox.outstanding()):
        return None
    return _at_new_prices(party, state) or _under_new_keys(party, state) or _in_new_universe(party, state)


def bring_due(party: Party, outbox: Outbox, bring: Callable[[Renewal], None]) -> None:
    """Bring again what has to be, one after the other."""
    for _ in range(_RENEWALS):
        renewal = due(party, outbox)
        if renewal is None:
            return
        try:
            bring(renewal)
        except DealOpen as waiting:
            party.stage(str(waiting))
            return
        except (MarginError, AgentRefused) as error:
            # What is open comes first, and is answered all the same; the next round tries again.
            _log.error("the book was not brought again: %s", error)
            return


def reopened(own: OwnSubmission, terms: Terms) -> Renewal:
    """Return a book that was submitted before, with the same commitments."""
    portfolio, submission = Portfolio.parse(own.portfolio), Submission.parse(own.document["body"])
    return Renewal(
        portfolio,
        submission,
        CommittedBook(
            tuple(int(value) for value in terms.encode(portfolio, submission)),
            tuple(bytes.fromhex(point) for point in submission.commitments),
            tuple(int(blinding) for blinding in own.blindings),
        ),
    )


def _at_new_prices(party: Party, state: Account) -> Renewal | None:
    """Return the newest book, if it arrived too late for the prices that its gain was counted at."""
    with party.store.unit_of_work() as session:
        own = session.query(OwnSubmission).order_by(OwnSubmission.id.desc()).first()
    if own is None or own.superseded is None or not own.superseded.startswith(STALE):
        return None
    if own.sequence <= state.public.submissions or state.public.status in ENDED:
        return None
    return reopened(own, party.terms)


def _under_new_keys(party: Party, state: Account) -> Renewal | None:
    """Return the book in force, or the one that waits, unless it is under the keys in use."""
    in_use = party.store.note("evaluation_keys")
    for book in (state.public.book, state.public.waiting):
        own = None if book is None else party.store.submission(book.submission)
        if book is None or own is None or book.evaluation_keys == in_use or state.public.keys != in_use:
            # Nothing to bring, or nothing that this directory could open.
            continue
        # Under the limit and columns it was proven under: others would make it another book.
        return reopened(own, party.terms)
    return None


def _in_new_universe(party: Party, state: Account) -> Renewal | None:
    """Return the book in the newest universe, unless it is there, once what that leaves out has settled."""
    public, newest = state.public, party.terms.universe
    book: Book | None = public.waiting or public.book
    if book is None or book.universe == newest.hash() or public.status is not AccountState.ACTIVE:
        return None
    if public.run is not None or public.waiting is not None:
        return None
    own = party.store.submission(book.submission)
    shown = party.client.newest_tick().document
    signed = None if shown is None else party.chain.newest_market(shown)
    market = None if signed is None else PriceTick.parse(signed.body).market
    if own is None or market is None:
        return None
    portfolio, old = Portfolio.parse(own.portfolio), party.terms.universe_of(book.universe)
    if not is_settled(portfolio, old, newest, market):
        return None
    try:
        return Renewal(carried(portfolio, old, newest, market))
    except (DocumentsError, MarginError) as error:
        _log.error("the book cannot go over to universe %s by itself: %s", newest.name, error)
        return None
