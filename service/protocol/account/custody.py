"""Custody in the account machine: who holds shares, which books come in force, and how shares move. Pure.

- A book of an account with custodians comes with receipts of as many of them as the policy says, for this book and one
  deal. The same commitments keep their deal without receipts.
- Another policy, a first one or none takes the place of the one in force by a document that both sides sign, between
  runs: who owes a proof does not get rid of custodians. A book stays with those it was dealt to, under the policy that
  it was dealt under, until it is dealt again or re-shared. Where no custodians are left, nobody opens it any more.
- Custodians re-share a book to those of the policy in force, with as many receipts as for a deal, and not while it is
  being opened. How often it was opened stays.
"""

from collections.abc import Callable

from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.errors import RunNotOver, WrongBook, WrongCustody, WrongOpening, WrongTick
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.account.state import Account, Book, CustodyInForce, PublicState, SharedBook
from atomic_margin.service.protocol.account.values import (
    At,
    body_of,
    is_due,
    made,
    require_next,
    updated,
    with_public,
)
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.submissions import Submission


def custody_in_force(policy: CustodyPolicy | None, requests: int = 0) -> CustodyInForce | None:
    """Return what a state says of a custody policy, after so many requests to open."""
    if policy is None:
        return None
    return made(
        CustodyInForce,
        policy=policy.hash(),
        threshold=policy.threshold,
        receipts=policy.receipts,
        openings=policy.openings,
        requests=requests,
    )


def custody_of(public: PublicState) -> CustodyInForce:
    """Return the custody policy in force.

    Raises:
        WrongCustody: there is none.
    """
    if public.custody is None:
        raise WrongCustody("the account has no custodians", "state")
    return public.custody


def shared_book(public: PublicState, body: Submission, commitments: str) -> SharedBook | None:
    """Return what custodians have of a book that comes; None where the account has no custodians.

    Args:
        public: the account before it.
        body: the submission.
        commitments: of the book, `commitments_hash`.

    Raises:
        WrongCustody: it names no deal, or one though there are no custodians; another policy; or too few receipts.
        RunNotOver: it is the book in force under another deal, and a run is open on it.
    """
    sharing = body.sharing
    if public.custody is None:
        if sharing is not None:
            raise WrongCustody("the account has no custodians, and the submission names a deal to some", "sharing")
        return None
    if sharing is None:
        raise WrongCustody("books of this account are dealt to its custodians first, and this one was not", "sharing")
    used = 0
    for before in (public.book, public.waiting):
        same = before is not None and before.commitments == commitments
        known = before.shared if before is not None and same else None
        if known is not None and (known.policy, known.deal) == (sharing.policy, sharing.deal):
            return known
        if same and before is public.book and public.run is not None:
            # Whoever reads of that run later has the custodians that were there when it began.
            raise RunNotOver(f"run {public.run.run_id} is open on this book: deal it anew after that", "sharing.deal")
        # Dealt again it is the same book, and was opened as often.
        used = used if known is None else max(used, known.openings)
    if sharing.policy != public.custody.policy:
        raise WrongCustody("it is dealt under another custody policy than the account's", "sharing.policy")
    _require_receipts(public.custody, len(sharing.receipts), "sharing.receipts")
    return _shared(public.custody, sharing.deal, used)


def custody_amended(state: Account, event: Event, at: At) -> Account:
    """Put other custodians in the place of those so far, or none: between runs, before the tick that both named."""
    body, public = body_of(event, CustodyAmendment), state.public
    if public.run is not None or public.owed is not None or is_due(state, at):
        raise RunNotOver("a run of the account is open, due or owed; amend custody after it", "state")
    before, after = public.custody, None if body.custody is None else body.custody.hash()
    in_force = None if before is None else before.policy
    if body.before != in_force:
        raise WrongCustody("the amendment follows another custody policy than the account is under", "before")
    if after == in_force:
        raise WrongCustody("the account is under this custody policy already", "custody")
    require_next(body.sequence, public.custody_amendments or 0, "amendment")
    if at.tick > body.until:
        raise WrongTick(f"the amendment was to be entered at tick {body.until} at the latest; sign another", "until")
    requests = 0 if before is None else before.requests
    amended = with_public(state, custody=custody_in_force(body.custody, requests), custody_amendments=body.sequence)
    return amended if after is not None else _with_shared(amended, lambda _: None)


def reshared(state: Account, event: Event, at: At) -> Account:
    """Have a book shared by the deal that its custodians made of their shares for those of the policy in force."""
    body, public = body_of(event, Resharing), state.public
    custody = custody_of(public)
    if custody.opening is not None:
        raise WrongOpening("custodians open the book: it is re-shared after that", "state")
    if body.entry != at.head:
        raise WrongCustody("the re-sharing names another entry than the account's last", "entry")
    if body.policy != custody.policy:
        raise WrongCustody("it is re-shared under another custody policy than the account's", "policy")
    named = (body.before.policy, body.before.deal)

    def moves(book: Book) -> bool:
        shared = book.shared
        return shared is not None and (book.commitments, shared.policy, shared.deal) == (body.book, *named)

    books = [book for book in (public.book, public.waiting) if book is not None and moves(book)]
    if not books or books[0].shared is None:
        raise WrongBook("no book in force, or waiting, is shared by the deal that is said to be passed on", "before")
    if len(body.dealers) != books[0].shared.threshold:
        raise WrongCustody(
            f"{len(body.dealers)} custodians passed their shares on, and it takes {books[0].shared.threshold}",
            "dealers",
        )
    if body.deal == body.before.deal:
        raise WrongCustody("the new deal is the one before", "deal")
    _require_receipts(custody, len(body.receipts), "receipts")
    after = _with_shared(state, lambda book: _shared(custody, body.deal, _used(book)) if moves(book) else book.shared)
    run = public.run
    if run is None or run.record is None or public.book is None or not moves(public.book):
        return after
    return with_public(after, run=updated(run, reshared=event.document))


def _shared(custody: CustodyInForce, deal: str, used: int) -> SharedBook:
    return made(
        SharedBook,
        policy=custody.policy,
        deal=deal,
        threshold=custody.threshold,
        most=custody.openings,
        openings=used,
    )


def _used(book: Book) -> int:
    return 0 if book.shared is None else book.shared.openings


def _with_shared(state: Account, shared: Callable[[Book], SharedBook | None]) -> Account:
    """Return an account whose books, in force and waiting, are shared so."""
    book, waiting = (
        None if one is None else updated(one, shared=shared(one)) for one in (state.public.book, state.public.waiting)
    )
    return with_public(state, book=book, waiting=waiting)


def _require_receipts(custody: CustodyInForce, receipts: int, field: str) -> None:
    if receipts < custody.receipts:
        raise WrongCustody(
            f"{receipts} custodians have receipted their shares, and it takes {custody.receipts}: wait for the others, "
            "or deal anew",
            field,
        )
