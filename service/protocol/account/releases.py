"""Releases and substitutions in the account machine: when posted collateral may become free. Pure.

That a book in force has initial margin with what remains is proven, and verified before (`protocol.unasked`). Here it
is checked that the proof is about this moment: this entry, this tick, these balances and this book.
"""

from collections.abc import Mapping

from atomic_margin.service.protocol.account.agreements import agreed_in_force, require_cooled_down, require_eligible
from atomic_margin.service.protocol.account.errors import (
    NotCovered,
    OutOfSequence,
    WrongAgreement,
    WrongBook,
    WrongCollateral,
    WrongTick,
)
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.holdings import moved, require_may_leave
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import At, body_of, require_next, with_public

Moves = list[tuple[str, int, str | None, str | None]]


def released(state: Account, event: Event, at: At) -> Account:
    """Let posted collateral become free; what takes its place is posted before."""
    body, public = body_of(event, Release), state.public
    require_next(body.sequence, public.instructions, "instruction")
    if body.entry != at.head:
        raise OutOfSequence("the account went on since it was made: make another one at its last entry", "entry")
    substitutes = body.given is not None and body.sufficiency_proof is None
    require_release_allowed(state, at, substitutes)
    if body.submission != (None if public.book is None else public.book.submission):
        raise WrongBook("it is about another book than the one in force", "submission")
    if (body.price_sequence, body.tick) != (at.market, at.market_hash):
        raise WrongTick(f"it is not at the newest tick, {at.market}: make another one at that", "price_sequence")
    if body.posted != public.posted:
        raise WrongCollateral("it counts other collateral than is posted", "posted")
    if body.agreed != agreed_in_force(public):
        raise WrongAgreement("it counts other figures than those of the account's agreement", "agreed")
    require_eligible(public, body.given or {})
    if body.given is None and public.book is not None and body.sufficiency_proof is None:
        raise NotCovered(
            "a book is in force: a release comes with the proof of its initial margin", "sufficiency_proof"
        )
    after = moved(state, moves_of(body))
    left = after.public.posted
    if body.remaining != left:
        raise WrongCollateral("what remains is not what is posted, less what is taken, and what is given", "remaining")
    return with_public(after, instructions=body.sequence)


def require_release_allowed(state: Account, at: At, substitutes: bool) -> None:
    """Make sure that posted collateral may become free at all now. The one place that says when.

    Args:
        state: of the account.
        at: the moment.
        substitutes: whether other collateral of no less worth takes its place; a cool-down lets that pass.

    Raises:
        RunNotOver, NotCovered: something is open, due or waiting, or nothing was proven since the book came.
        CoolingDown: it is too soon after a margin call.
        WrongTick: the newest tick has no prices, or documents for the next one are receipted: who knows what comes must
            not leave at prices that are gone.
    """
    require_may_leave(state, at, "release")
    if not substitutes:
        require_cooled_down(state.public, at)
    book = state.public.book
    if book is not None and (book.covered is None or book.covered <= book.tick):
        raise NotCovered("the book was not proven covered at a tick after it came; release after its next run", "state")
    if (at.tick, at.receipted) != (at.market, at.market):
        raise WrongTick(
            "collateral is released at the prices of the newest tick, before a document for the next one is receipted; "
            "release after the next tick",
            "price_sequence",
        )


def moves_of(body: Release) -> Moves:
    """Return what moves, what is received before what is released."""
    received: Moves = [(asset, quantity, "free", "posted") for asset, quantity in sorted((body.given or {}).items())]
    return received + [(asset, quantity, "posted", "free") for asset, quantity in sorted(body.taken.items())]


def remaining_of(posted: Mapping[str, int], taken: Mapping[str, int], given: Mapping[str, int]) -> dict[str, int]:
    """Return what is posted after it, without zeros; below 0 where more is taken than there is."""
    assets = sorted({*posted, *taken, *given})
    left = {asset: posted.get(asset, 0) - taken.get(asset, 0) + given.get(asset, 0) for asset in assets}
    return {asset: quantity for asset, quantity in left.items() if quantity}
