"""Openings in the account machine: how the book of a silent institution is opened by its custodians. Pure.

- An opening is asked for of the open run, on a book that is owed, one at a time, and of one book no more often than the
  policy says that it was dealt under. A run of a later tick does, whose own time is not over: who is silent from tick
  to tick has one open all the time. While an opening is open no run begins.
- What was re-shared after a run was recorded is opened at the next run: the one at the record is with the custodians
  before, and what they have no more is not asked of them.
- Whatever the institution answers before the result is entered ends it, and so does giving the book up.
- What custodians found ends the run like an answer would: covered, or with a breach that is settled next. That t of
  them signed it, and what they proved, is verified before.
"""

from atomic_margin.service.protocol.account.custody import custody_of
from atomic_margin.service.protocol.account.errors import RunNotOver, WrongBook, WrongCustody, WrongOpening, WrongRun
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.opening_documents import Opened, OpeningLapse, OpeningRequest
from atomic_margin.service.protocol.account.state import (
    ANSWERABLE_STAGES,
    Account,
    Book,
    Opening,
    OpenRun,
    PublicState,
)
from atomic_margin.service.protocol.account.values import (
    At,
    body_of,
    in_force,
    made,
    require_next,
    updated,
    with_public,
)


def opening_requested(state: Account, event: Event, at: At) -> Account:
    """Begin an opening."""
    body, public = body_of(event, OpeningRequest), state.public
    custody, (run, book) = custody_of(public), _owed(state)
    require_next(body.sequence, custody.requests, "request to open")
    if custody.opening is not None:
        raise WrongOpening("an opening was asked for, and is not over", "state")
    if body.entry != at.head:
        raise WrongOpening("the request names another entry than the account's last", "entry")
    if (body.run_id, body.run) != (run.run_id, run.record):
        raise WrongRun(f"the request is about another run than {run.run_id}, which is owed", "run_id")
    if run.reshared is not None:
        # Whoever reads of that run later has the custodians that its record is with.
        raise WrongRun(
            f"the book was re-shared after run {run.run_id} was recorded: the run of the next tick can be opened",
            "run_id",
        )
    shared = book.shared
    if shared is None:
        raise WrongCustody("custodians have no shares of the book in force", "state")
    if (body.submission, body.policy, body.deal) != (run.submission, shared.policy, shared.deal):
        raise WrongBook("the request is about another book, policy or deal than that of the run", "deal")
    if shared.openings >= shared.most:
        raise WrongOpening(f"the book was to be opened {shared.openings} times, and no more is allowed", "state")
    opening = made(Opening, request=event.document, run_id=run.run_id)
    return with_public(
        state,
        custody=updated(custody, requests=body.sequence, opening=opening),
        book=updated(book, shared=updated(shared, openings=shared.openings + 1)),
    )


def opening_lapsed(state: Account, event: Event, at: At) -> Account:
    """End an opening without a result."""
    body = body_of(event, OpeningLapse)
    _require_open(state.public, body.request)
    return with_opening_over(state)


def found(state: Account, event: Event) -> tuple[Account, OpenRun, Opened]:
    """Return the account after an opening, the run that it is about, and what was found.

    Raises:
        WrongOpening, WrongRun: it is about another one than the open ones.
    """
    body, (run, book) = body_of(event, Opened), _owed(state)
    _require_open(state.public, body.request)
    named = (body.run_id, body.run, body.submission, body.price_sequence)
    if named != (run.run_id, run.record, run.submission, run.price_sequence):
        raise WrongRun(f"what was found is about another run than {run.run_id}", "finding.run")
    # Of those who have this book together, whatever the policy in force is.
    if book.shared is None or len(body.verdicts) < book.shared.threshold:
        wanted = "none has shares" if book.shared is None else f"it takes {book.shared.threshold}"
        raise WrongCustody(f"{len(body.verdicts)} custodians signed, and {wanted}", "verdicts")
    return with_opening_over(state), run, body


def with_opening_over(state: Account) -> Account:
    """End the opening that is open, if one is."""
    custody = state.public.custody
    if custody is None or custody.opening is None:
        return state
    return with_public(state, custody=updated(custody, opening=None))


def require_no_opening(public: PublicState) -> None:
    """Make sure that no opening is open, where a run is to begin.

    Raises:
        RunNotOver: one is.
    """
    if public.custody is not None and public.custody.opening is not None:
        run_id = public.custody.opening.run_id
        raise RunNotOver(f"custodians open the book of run {run_id}: wait for what they find, or let it lapse", "state")


def deals_in_use(public: PublicState) -> frozenset[str]:
    """Return the deals of the book in force and of the one that waits."""
    books = (book for book in (public.book, public.waiting) if book is not None)
    return frozenset(book.shared.deal for book in books if book.shared is not None)


def _owed(state: Account) -> tuple[OpenRun, Book]:
    run, book = state.public.run, in_force(state)
    if run is None or run.stage not in ANSWERABLE_STAGES or not run.owes or state.public.owed is None:
        raise WrongRun("no run of a book that is owed takes an answer, or it is to be proven first", "run_id")
    return run, book


def _require_open(public: PublicState, request: str) -> None:
    opening = custody_of(public).opening
    if opening is None or opening.request != request:
        raise WrongOpening("it is about another opening than the one that is open", "request")
