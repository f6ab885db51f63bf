"""Keys and books in the account machine: what is in force, what waits, and who may read about it. Pure."""

from atomic_margin.service.protocol.account.custody import shared_book
from atomic_margin.service.protocol.account.disputes import require_not_held
from atomic_margin.service.protocol.account.errors import (
    AllowanceExceeded,
    OutOfSequence,
    RunNotOver,
    WrongBook,
    WrongKeys,
    WrongTick,
    WrongUniverse,
)
from atomic_margin.service.protocol.account.events import Event, GivingUp, Readers, UniverseRevision
from atomic_margin.service.protocol.account.holdings import moved
from atomic_margin.service.protocol.account.openings import with_opening_over
from atomic_margin.service.protocol.account.state import Account, Book, Listed, PublicState
from atomic_margin.service.protocol.account.values import (
    At,
    awaits_run,
    body_of,
    commitments_hash,
    day_of_time,
    in_force,
    made,
    require_next,
    updated,
    with_book_at,
    with_public,
)
from atomic_margin.service.protocol.documents import Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.submissions import Submission

KEPT_UNIVERSES = 8
"""Universes that stay listed for an account, the newest ones; books under older ones stay there until they go over."""


def keys_enrolled(state: Account, event: Event, at: At) -> Account:
    """Take keys whose known answers are not confirmed yet."""
    body = body_of(event, Enrolment)
    if body.key_sequence <= state.public.key_sequence:
        last = state.public.key_sequence
        raise OutOfSequence(f"the last key sequence number was {last}, got {body.key_sequence}", "key_sequence")
    return with_public(state, key_sequence=body.key_sequence, pending=body.evaluation_keys)


def keys_confirmed(state: Account, event: Event, at: At) -> Account:
    """Bring confirmed keys in force; books under older ones stay under them."""
    body, pending = body_of(event, EnrolmentConfirmation), state.public.pending
    if pending is None or pending != body.evaluation_keys:
        raise WrongKeys("no known-answer test is open for these keys; enrol first", "evaluation_keys")
    return with_public(state, keys=pending, pending=None)


def submitted(state: Account, event: Event, at: At) -> Account:
    """Take a book: in force at once, in place of itself under other keys, or waiting."""
    # Else a book of this tick would take the place of the one that a run of this tick is on.
    state = with_book_at(state, at)
    body, public = body_of(event, Submission), state.public
    if body.evaluation_keys != public.keys:
        raise WrongKeys("the submission names other evaluation keys than the enrolled ones", "evaluation_keys")
    require_next(body.sequence, public.submissions, "submission")
    _check_universe(public, body)
    gain_day, gained = _allowed(public, body, at)
    commitments = commitments_hash(body)
    book = made(
        Book,
        submission=event.document,
        sequence=body.sequence,
        universe=body.universe,
        commitments=commitments,
        evaluation_keys=body.evaluation_keys,
        key_commitments=body.key_commitments,
        tick=at.priced,
        shared=shared_book(public, body, commitments),
    )
    state = with_public(state, submissions=body.sequence, gain_day=gain_day, gained=gained)
    before, waiting = public.book, public.waiting
    if before is not None and before.commitments == book.commitments:
        # The same book under new keys. Who goes back to it while another one waits commits anew.
        return with_public(state, book=updated(book, tick=before.tick, covered=before.covered, void=before.void))
    void = before is not None and before.void is not None
    if public.run is None and public.owed is None and not void and not awaits_run(state, at):
        return with_public(state, book=book, waiting=None)
    if waiting is not None and waiting.commitments == book.commitments:
        book = updated(book, tick=waiting.tick)
    elif waiting is not None and waiting.tick < book.tick:
        # The one that waits is to be run at ticks from before this one came, and not the one in force.
        raise RunNotOver(
            f"a book that came at tick {waiting.tick} waits for the end of a run; bring another one after it",
            "commitments",
        )
    return with_public(state, waiting=book)


def losses_settled(state: Account, event: Event, at: At) -> Account:
    """Take a book whose losses are paid for: it is in force at once, and the collateral has left with them.

    Both are one event, so that no run counts the collateral as gone and the losses as there. What is paid is worth what
    the newest prices say, so nobody may have seen later ones.
    """
    body = body_of(event, Submission)
    settles, commitments = body.gain.settles, commitments_hash(body)
    if settles is None:
        raise TypeError("a submission without losses that it settles is another event")
    require_not_held(state.public, "settle losses")
    before = compared_with(with_book_at(state, at).public, commitments)
    after = submitted(state, event, at)
    if at.market == 0 or (at.tick, at.receipted) != (at.market, at.market):
        raise WrongTick(
            "losses are settled at the prices of the newest tick, before a document for the next one is receipted; "
            "settle them after the next tick",
            "gain.settles",
        )
    if before is None or before.commitments == commitments:
        raise WrongBook("losses are settled by a book that takes the place of one with more of them", "gain.settles")
    if after.public.waiting is not None:
        raise RunNotOver("a run of the account is open or due; settle losses after it is answered", "state")
    return moved(after, [(settles.asset, settles.quantity, "posted", None)])


def universe_revised(state: Account, event: Event, at: At) -> Account:
    """List another universe, the newest; those before it end."""
    body, listed = body_of(event, UniverseRevision), state.public.universes
    if body.before != listed[-1].universe:
        raise WrongUniverse("another universe is the newest of the account", "before")
    if any(body.universe == one.universe for one in listed):
        raise WrongUniverse("the account was in that universe before; a revision is another one", "universe")
    until = day_of_time(body.until)
    ended = [updated(one, until=until if one.until is None else min(one.until, until)) for one in listed]
    return with_public(state, universes=(*ended, made(Listed, universe=body.universe))[-KEPT_UNIVERSES:])


def _check_universe(public: PublicState, body: Submission) -> None:
    """Make sure that a book is in a universe that takes it.

    Raises:
        WrongUniverse: the universe is not listed, or is over for all but the same commitments.
    """
    found = [one for one in public.universes if one.universe == body.universe]
    known = commitments_hash(body)
    if any(book is not None and book.commitments == known for book in (public.book, public.waiting)):
        return
    if not found:
        raise WrongUniverse("the book is in a universe that is not listed for the account", "universe")
    until = found[0].until
    if until is not None and body.gain.day > until:
        raise WrongUniverse(
            "the universe of the book is over: submit it in the newest one, which an agent does by itself", "universe"
        )


def compared_with(public: PublicState, commitments: str) -> Book | None:
    """Return the book that a new one is compared with by what it gained: itself, or the one that came last.

    Args:
        public: the account.
        commitments: of the new one, `commitments_hash`.
    """
    known = [book for book in (public.book, public.waiting) if book is not None]
    same = [book for book in known if book.commitments == commitments]
    found = same or known[-1:]
    return found[0] if found else None


def _allowed(public: PublicState, body: Submission, at: At) -> tuple[int, int]:
    """Return day and allowances used on it, after a submission.

    Raises:
        WrongTick: its gain is counted at another tick than the newest.
        WrongBook: it is compared with another book than the one that it takes the place of.
        AllowanceExceeded: it asks for more than the account may gain by submissions.
    """
    gain, allowed = body.gain, public.allowances
    if (gain.price_sequence, gain.tick) != (at.market, at.market_hash):
        raise WrongTick(f"its gain is counted at tick {gain.price_sequence}, the newest is {at.market}", "gain.tick")
    wanted = compared_with(public, commitments_hash(body))
    if gain.before != (None if wanted is None else wanted.submission):
        raise WrongBook("its gain is compared with another book than the one it takes the place of", "gain.before")
    if gain.day < public.gain_day:
        raise WrongTick("its gain is counted on a day before that of the last submission", "gain.day")
    used = public.gained if gain.day == public.gain_day else 0
    if gain.allowance > allowed.submission:
        raise AllowanceExceeded(
            f"a book may have gained {allowed.submission} USD more than the one it replaces, this asks for "
            f"{gain.allowance}: what it gained is not what trades at market leave",
            "gain.allowance",
        )
    if used + gain.allowance > allowed.day:
        raise AllowanceExceeded(
            f"books of one day may have gained {allowed.day} USD more than those they replace, and {used} are used: "
            "submit it tomorrow, or with less cash",
            "gain.allowance",
        )
    return gain.day, used + gain.allowance


def book_given_up(state: Account, event: Event, at: At) -> Account:
    """Take the book in force away, the one that waits, and what is open or owed on them: nobody can open them.

    What is named stays so only while nothing about these books changes. A proof of the one in force, or a settlement,
    shows that somebody opens it; then what was signed before takes nothing away any more.
    """
    body, public, book = body_of(event, GivingUp), state.public, in_force(state)
    waiting = None if public.waiting is None else public.waiting.submission
    if (body.submission, body.waiting) != (book.submission, waiting):
        raise WrongBook("other books are in force, or wait, than those that are given up", "submission")
    if body.covered != book.covered:
        raise WrongBook("the book was proven covered since it was to be given up: somebody can open it", "covered")
    if public.run is not None and public.run.stage in ("evaluating", "breach"):
        raise RunNotOver(f"run {public.run.run_id} is being evaluated or settled; agree when that is over", "state")
    after = with_opening_over(state)
    return with_public(after, book=None, waiting=None, run=None, owed=None, given_up=book.submission)


def readers_named(state: Account, event: Event, at: At) -> Account:
    """Take a list of who may read the bundles."""
    body = body_of(event, Readers)
    require_next(body.sequence, state.public.readers, "list of readers")
    return with_public(state, readers=body.sequence)
