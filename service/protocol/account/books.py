"""Keys and books in the account machine: what is in force, what waits, and who may read about it. Pure."""

from atomic_margin.service.protocol.account.errors import OutOfSequence, RunNotOver, WrongBook, WrongKeys
from atomic_margin.service.protocol.account.events import Event, GivingUp, Readers
from atomic_margin.service.protocol.account.state import Account, Book
from atomic_margin.service.protocol.account.values import (
    At,
    awaits_run,
    body_of,
    commitments_hash,
    in_force,
    made,
    require_next,
    updated,
    with_book_at,
    with_public,
)
from atomic_margin.service.protocol.documents import Enrolment, EnrolmentConfirmation, Submission


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
    book = made(
        Book,
        submission=event.document,
        sequence=body.sequence,
        commitments=commitments_hash(body),
        evaluation_keys=body.evaluation_keys,
        key_commitments=body.key_commitments,
        tick=at.priced,
    )
    state = with_public(state, submissions=body.sequence)
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
    return with_public(state, book=None, waiting=None, run=None, owed=None, given_up=book.submission)


def readers_named(state: Account, event: Event, at: At) -> Account:
    """Take a list of who may read the bundles."""
    body = body_of(event, Readers)
    require_next(body.sequence, state.public.readers, "list of readers")
    return with_public(state, readers=body.sequence)
