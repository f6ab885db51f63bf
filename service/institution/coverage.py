"""A proof that nobody asked for: the book in force is covered at the newest tick, though the operator opens no run.

An operator that lets a run go unanswered by its own clock, or opens none, could freeze an account that is covered. One
whose evaluations fail could let books wait and withdrawals hang: after a void run nothing was proven. The machine takes
this proof while no run is being evaluated or answered, and the account is active again, and nothing hangs any more.
"""

import logging
from datetime import datetime, timedelta

from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.answering import decided
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.institution.sufficient import Position, Shown
from atomic_margin.service.protocol.account.agreements import agreed_in_force
from atomic_margin.service.protocol.account.events import Coverage, CoverageClaim
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import At, book_at, is_due
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.statements import coverage_statement
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness

_log = logging.getLogger(__name__)


class Unasked:
    """What one agent proves by itself."""

    def __init__(self, party: Party) -> None:
        """Begin to watch."""
        self._party = party
        self._since: tuple[str, datetime] | None = None
        self._short: tuple[str, str] | None = None

    def proof(self) -> SignedDocument | None:
        """Return the proof that is called for now, signed and not stored, or None.

        Raises:
            AgentRefused: the newest tick does not follow those that were seen, or is too old; or the book is not here.
            RemoteError: the operator does not answer.
        """
        state = self._party.history.state
        if state is None or state.public.book is None or self._is_asked(state):
            self._since = None
            return None
        newest = self._party.client.newest_tick().document
        signed = None if newest is None else self._party.chain.newest_market(newest)
        if signed is None:
            return None
        market = PriceTick.parse(signed.body).market
        if market is None:
            raise TypeError("a tick with a market has one")
        number, hash_ = market.sequence, signed.body_hash()
        at = At(number, hash_, number, hash_, self._party.history.head, number)
        wanted = _wanted(state, at)
        if wanted is None:
            self._since = None
            return None
        if not self._waited(wanted):
            return None
        self._party.chain.require_fresh(market)
        return self._proven(state, at, market)

    def _is_asked(self, state: Account) -> bool:
        """Return whether a run is open that is or will be answered, or the account is not watched."""
        run = state.public.run
        if state.public.status not in (AccountState.ACTIVE, AccountState.FROZEN):
            return True
        if run is None:
            return False
        if run.stage != "unproven":
            return True
        answer = decided(self._party, run)
        return answer is None or answer.document is not None

    def _waited(self, what: str) -> bool:
        """Return whether the operator had its time."""
        now = self._party.settings.clock()
        if self._since is None or self._since[0] != what:
            self._since = (what, now)
        return now >= self._since[1] + timedelta(seconds=self._party.settings.unasked_after)

    def _proven(self, state: Account, at: At, market: Market) -> SignedDocument | None:
        party, public, book = self._party, state.public, book_at(state, at)
        own = None if book is None else party.store.submission(book.submission)
        if own is None:
            raise AgentRefused("the book in force is one that this directory cannot open; restore its newest backup")
        tried = (at.head, at.market_hash)
        if self._short == tried:
            return None
        submission = Submission.parse(own.document["body"])
        z = party.terms.encode(Portfolio.parse(own.portfolio), submission)
        try:
            agreed = agreed_in_force(public)
            matrices = party.terms.compile(market, public.posted, submission, agreed)
        except MarginError as error:
            raise AgentRefused(f"tick {at.market} gives no matrix: {error}") from error
        shown = Position(party.terms, market, public.posted, submission, matrices, z, agreed).coverage()
        if shown is None:
            _log.error("the book in force is not covered at tick %s; post collateral, or wait for a run", at.market)
            self._short = tried
            return None
        party.stage("proving coverage")
        claim = CoverageClaim.parse(
            {
                "institution": public.institution,
                "operator": public.operator,
                "entry": at.head,
                "submission": own.sha256,
                "price_sequence": str(at.market),
                "tick": at.market_hash,
                "posted": {asset: str(quantity) for asset, quantity in public.posted.items()},
                "instructions": str(public.instructions),
                "matrix": shown.rows.hash(),
                **shown.said,
                **({} if agreed is None else {"agreed": agreed.canonical()}),
            }
        )
        statement = coverage_statement(claim, party.terms, submission, shown.rows)
        proof = prove_sufficiency(statement, _witness(own, z, shown))
        return claim.proven(Coverage, sufficiency_proof=proof).signed_by(party.identity)


def _wanted(state: Account, at: At) -> str | None:
    """Return what has to be proven, by a name that tells it from what was to be proven before; None for nothing."""
    public = state.public
    if public.owed is not None:
        return public.owed
    if is_due(state, at):
        return at.market_hash
    if public.book is not None and public.book.void is not None:
        return f"void at tick {public.book.void}"
    return None


def _witness(own: OwnSubmission, z: Integers, shown: Shown) -> SufficiencyWitness:
    values, blindings, slack = (tuple(int(value) for value in part) for part in (z, own.blindings, shown.slack))
    return SufficiencyWitness(values, blindings, slack)
