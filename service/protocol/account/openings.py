"""Custody in the account machine: which books come in force, and how one of a silent institution is opened. Pure.

- A book of an account with custodians comes with receipts of as many of them as the policy says, for this book and one
  deal. The same commitments keep their deal without receipts.
- An opening is asked for of a run whose time is over, on the book that is owed, one at a time, and of one book no more
  often than the policy says. While it is open no run begins.
- Whatever the institution answers before the result is entered ends it, and so does giving the book up.
- What custodians found ends the run like an answer would: covered, or with a breach that is settled next. That t of
  them signed it, and what they proved, is verified before.
"""

from atomic_margin.service.protocol.account.errors import RunNotOver, WrongBook, WrongCustody, WrongOpening, WrongRun
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.opening_documents import Opened, OpeningLapse, OpeningRequest
from atomic_margin.service.protocol.account.state import (
    Account,
    Book,
    CustodyInForce,
    Opening,
    OpenRun,
    PublicState,
    SharedBook,
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
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.submissions import Submission


def custody_in_force(policy: CustodyPolicy | None) -> CustodyInForce | None:
    """Return what a state says of a custody policy."""
    if policy is None:
        return None
    return made(
        CustodyInForce,
        policy=policy.hash(),
        threshold=policy.threshold,
        receipts=policy.receipts,
        openings=policy.openings,
    )


def shared_book(public: PublicState, body: Submission, commitments: str) -> SharedBook | None:
    """Return what custodians have of a book that comes; None where the account has no custodians.

    Args:
        public: the account before it.
        body: the submission.
        commitments: of the book, `commitments_hash`.

    Raises:
        WrongCustody: it names no deal, or one though there are no custodians; another policy; or too few receipts.
    """
    sharing = body.sharing
    if public.custody is None:
        if sharing is not None:
            raise WrongCustody("the account has no custodians, and the submission names a deal to some", "sharing")
        return None
    if sharing is None:
        raise WrongCustody("books of this account are dealt to its custodians first, and this one was not", "sharing")
    for before in (public.book, public.waiting):
        known = None if before is None or before.commitments != commitments else before.shared
        if known is not None and (known.policy, known.deal) == (sharing.policy, sharing.deal):
            return known
    if sharing.policy != public.custody.policy:
        raise WrongCustody("it is dealt under another custody policy than the account's", "sharing.policy")
    if len(sharing.receipts) < public.custody.receipts:
        raise WrongCustody(
            f"{len(sharing.receipts)} custodians have receipted their shares, and it takes {public.custody.receipts}: "
            "wait for the others, or deal anew",
            "sharing.receipts",
        )
    return made(SharedBook, policy=sharing.policy, deal=sharing.deal)


def opening_requested(state: Account, event: Event, at: At) -> Account:
    """Begin an opening."""
    body, public = body_of(event, OpeningRequest), state.public
    custody, (run, book) = _custody(public), _owed(state)
    require_next(body.sequence, custody.requests, "request to open")
    if custody.opening is not None:
        raise WrongOpening("an opening was asked for, and is not over", "state")
    if body.entry != at.head:
        raise WrongOpening("the request names another entry than the account's last", "entry")
    if (body.run_id, body.run) != (run.run_id, run.record):
        raise WrongRun(f"the request is about another run than {run.run_id}, which is owed", "run_id")
    shared = book.shared
    if shared is None:
        raise WrongCustody("custodians have no shares of the book in force", "state")
    if (body.submission, body.policy, body.deal) != (run.submission, shared.policy, shared.deal):
        raise WrongBook("the request is about another book, policy or deal than that of the run", "deal")
    if shared.openings >= custody.openings:
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
    body, (run, _) = body_of(event, Opened), _owed(state)
    _require_open(state.public, body.request)
    named = (body.run_id, body.run, body.submission, body.price_sequence)
    if named != (run.run_id, run.record, run.submission, run.price_sequence):
        raise WrongRun(f"what was found is about another run than {run.run_id}", "finding.run")
    threshold = _custody(state.public).threshold
    if len(body.verdicts) < threshold:
        raise WrongCustody(f"{len(body.verdicts)} custodians signed, and it takes {threshold}", "verdicts")
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


def _custody(public: PublicState) -> CustodyInForce:
    if public.custody is None:
        raise WrongCustody("the account has no custodians", "state")
    return public.custody


def _owed(state: Account) -> tuple[OpenRun, Book]:
    run, book = state.public.run, in_force(state)
    if run is None or run.stage != "unproven" or state.public.owed is None:
        raise WrongRun("no run is owed: its time to answer is not over", "run_id")
    return run, book


def _require_open(public: PublicState, request: str) -> None:
    opening = _custody(public).opening
    if opening is None or opening.request != request:
        raise WrongOpening("it is about another opening than the one that is open", "request")
