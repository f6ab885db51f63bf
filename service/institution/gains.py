"""Prove that a book gained no more than trades at market leave: the third proof of a submission.

Institution only. It is made last and fast, at the newest tick there is then: portfolio and encryption proofs may take
longer than a tick does, and do not depend on prices.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.gain import UNIT_EXPONENT, gained
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.submissions import CommittedBook
from atomic_margin.service.protocol.account.books import compared_with
from atomic_margin.service.protocol.account.state import NOTHING, Account
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.statements import gain_statement, gains
from atomic_margin.service.protocol.submissions import Gain, Settles, Submission, SubmissionClaim
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.verification import day_of
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness


@dataclass(frozen=True)
class Earlier:
    """The book that a new one is compared with, as the agent opens it."""

    submission: Submission
    hash: str
    values: tuple[int, ...]
    blindings: tuple[int, ...]


@dataclass(frozen=True)
class Priced:
    """The newest tick that has a market.

    Attributes:
        number: of the tick; 0 before there is one.
        hash: of the tick.
        market: its prices; None before there are any.
    """

    number: int
    hash: str
    market: Market | None


def prove_gain(
    party: Party,
    followed: Callable[[], Account],
    claim: SubmissionClaim,
    book: CommittedBook,
    settles: Settles | None = None,
) -> tuple[Gain, bytes]:
    """Return what a submission says of its gain at the newest tick, and the proof.

    Args:
        party: whose submission.
        followed: follows the account to its last entry.
        claim: the submission.
        book: what opens it.
        settles: losses that it settles.

    Raises:
        AgentRefused: it gained more than the account is allowed, or the book that it replaces is not here.
        RemoteError: the operator does not answer.
        MarginError: the prices do not value the universe.
    """
    priced = newest_prices(party)
    state = followed()
    earlier = _earlier(party, state, commitments_hash(claim))
    return gain_at(priced, state.public.allowances.submission, party.terms, claim, book, earlier, settles)


def gain_at(
    priced: Priced,
    allowed: int,
    terms: Terms,
    claim: SubmissionClaim,
    book: CommittedBook,
    earlier: Earlier | None,
    settles: Settles | None = None,
) -> tuple[Gain, bytes]:
    """Return what a submission says of its gain, and the proof.

    Nothing is asked for where the book gained nothing, a cash lot where rounding may have done it, and else the whole
    allowance, so that the amount tells no more than that.

    Args:
        priced: the prices that count.
        allowed: by how much it may have gained more, whole USD.
        terms: of the account.
        claim: the submission.
        book: what opens it.
        earlier: the book it is compared with; None for none.
        settles: losses that it settles, which it may have gained besides; None for none.

    Raises:
        AgentRefused: it gained more than that.
        MarginError: the prices do not value the universe.
    """
    market = priced.market
    before = 0 if earlier is None else gained(gains(earlier.submission, terms, market), earlier.values)
    paid = 0 if settles is None else settles.usd << -UNIT_EXPONENT
    more = gained(gains(claim, terms, market), book.values) - before - paid
    if more > allowed << -UNIT_EXPONENT:
        raise AgentRefused(
            f"at tick {priced.number} the book has gained {more * 2.0**UNIT_EXPONENT:,.2f} USD more than the one it "
            f"replaces, and {allowed:,} USD are allowed: check its prices, fees and `cash`; what it really gained "
            "since it was traded can be claimed step by step, with less `cash` at first"
        )
    gain = Gain.parse(
        {
            **({} if earlier is None else {"before": earlier.hash}),
            "price_sequence": str(priced.number),
            "tick": priced.hash,
            "day": str(day_of(market)),
            "allowance": str(_asked(more, allowed, terms.columns(claim))),
            **({} if settles is None else {"settles": settles.canonical()}),
        }
    )
    values, blindings = ((), ()) if earlier is None else (earlier.values, earlier.blindings)
    statement = gain_statement(claim, gain, None if earlier is None else earlier.submission, terms, market)
    witness = SufficiencyWitness((*values, *book.values), (*blindings, *book.blindings))
    return gain, prove_sufficiency(statement, witness)


def _asked(more: int, allowed: int, columns: EntryMap) -> int:
    """Return the allowance that is asked for, whole USD, by what was gained, in units of a gain."""
    # Cash is rounded down: the book before may have lost up to a lot by that, and this one nothing.
    lot = math.ceil(columns.cash_lot or 0)
    steps = (0, min(lot, allowed), allowed)
    return next(step for step in steps if more <= step << -UNIT_EXPONENT)


def newest_prices(party: Party) -> Priced:
    """Return the newest tick that has a market, followed and checked.

    Raises:
        AgentRefused, RemoteError: it cannot be followed.
    """
    shown = party.client.newest_tick().document
    signed = None if shown is None else party.chain.newest_market(shown)
    if signed is None:
        return Priced(0, NOTHING, None)
    market = PriceTick.parse(signed.body).market
    if market is None:
        raise TypeError("a tick with a market has one")
    return Priced(market.sequence, signed.body_hash(), market)


def _earlier(party: Party, state: Account, commitments: str) -> Earlier | None:
    book = compared_with(state.public, commitments)
    if book is None:
        return None
    own = party.store.submission(book.submission)
    if own is None:
        raise AgentRefused(
            "the book that this one replaces is one that this directory cannot open; restore its newest backup, or "
            "give it up"
        )
    submission = Submission.parse(own.document["body"])
    z = party.terms.encode(Portfolio.parse(own.portfolio), submission)
    return Earlier(
        submission, own.sha256, tuple(int(value) for value in z), tuple(int(blinding) for blinding in own.blindings)
    )
