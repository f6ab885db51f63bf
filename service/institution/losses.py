"""Settle losses: posted collateral leaves to the operator, and the book that is submitted with it owes as much less.

Institution only. Both are one submission: an account whose collateral had left before its book came could be called
for what it had just paid, if a tick fell between them.
"""

from dataclasses import dataclass
from fractions import Fraction

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.trades import plain
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.gains import newest_prices
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.agent_messages import LossesSettled
from atomic_margin.service.protocol.submissions import Settles
from atomic_margin.service.protocol.verification import paid_for


@dataclass(frozen=True)
class Settling:
    """What is submitted to settle losses.

    Attributes:
        portfolio: the book in force, whose cash is higher by what is paid.
        settles: what is paid.
    """

    portfolio: Portfolio
    settles: Settles

    def submitted(self, sequence: int) -> LossesSettled:
        """Return what is said of it once it is submitted under a number."""
        cash = format(self.portfolio.cash or 0, "f")
        return LossesSettled(submission_sequence=sequence, usd=str(self.settles.usd), cash=cash)


def settling(party: Party, outbox: Outbox, state: Account, asset: str, quantity: int, usd: int | None) -> Settling:
    """Return what settles losses of the book in force.

    Args:
        party: whose losses.
        outbox: what was not entered yet.
        state: its account, followed to the last entry.
        asset: that leaves, of the collateral schedule.
        quantity: of it, in smallest units.
        usd: whole USD of losses; None for all that it is worth at the newest prices, rounded down.

    Raises:
        AgentRefused: nothing can be settled now, or it is worth less than that.
        DocumentError, MarginError: the schedule does not have the asset, or the cash is too much to be written down.
        RemoteError: the operator does not answer.
    """
    public = state.public
    if any(isinstance(row, OwnSubmission) for row in outbox.outstanding()):
        raise AgentRefused("a book is on its way to the operator; settle losses when it has arrived")
    own = None if public.book is None else party.store.submission(public.book.submission)
    if public.book is None or own is None:
        raise AgentRefused("no book is in force that this directory can open, so it has no losses; submit one first")
    if public.run is not None or public.waiting is not None:
        raise AgentRefused("a run is open or a book waits; settle losses when that is over")
    if public.book.universe != party.terms.universe.hash():
        raise AgentRefused("the book is in an older universe; settle its losses once it has gone over to the newest")
    if public.posted.get(asset, 0) < quantity:
        raise AgentRefused(
            f"{public.posted.get(asset, 0)} units of {asset} are posted, which is what losses are paid with"
        )
    market = newest_prices(party).market
    if market is None:
        raise AgentRefused("there are no prices yet at which anything could be settled")
    said = {"asset": asset, "quantity": str(quantity)}
    worth = paid_for(Settles.parse({**said, "usd": "1"}), market, party.terms)
    wanted = worth if usd is None else usd
    if not 0 < wanted <= worth:
        raise AgentRefused(
            f"{quantity} units of {asset} are worth {worth:,} USD at the newest tick: settle 1 to as many"
        )
    portfolio = Portfolio.parse(own.portfolio)
    book = Portfolio.parse({**own.portfolio, "cash": plain(Fraction(portfolio.cash or 0) + wanted)})
    return Settling(book, Settles.parse({**said, "usd": str(wanted)}))
