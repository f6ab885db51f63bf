"""What the parts of the account machine share: where an event stands, and how a state is changed. Pure."""

from functools import cache
from typing import Any, NamedTuple, TypeVar

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.strict import Part, instant
from atomic_margin.service.protocol.account.errors import OutOfSequence, WrongBook
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.state import NOTHING, Account, Book
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.submissions import SubmissionClaim


class At(NamedTuple):
    """Where an event stands.

    Attributes:
        tick: number of the newest tick, void or not; 0 for none.
        tick_hash: its hash.
        market: number of the newest tick with a market; 0 for none.
        market_hash: its hash.
        head: hash of the account's entry before.
        receipted: number of the next tick if a source's document for it has a leaf of the log before the event, that of
            the newest tick otherwise.
    """

    tick: int = 0
    tick_hash: str = NOTHING
    market: int = 0
    market_hash: str = NOTHING
    head: str = NOTHING
    receipted: int = 0

    @property
    def priced(self) -> int:
        """The newest tick with a market, or the next tick if prices for it may have been seen."""
        return self.receipted if self.receipted > self.tick else self.market


def commitments_hash(submission: SubmissionClaim) -> str:
    """Return what makes two submissions the same book: commitments, what they count, and the limit they keep.

    The hash of the columns names universe, choice and cash lot: the same numbers in other columns are another book.
    """
    return book_hash(submission.commitments, submission.entry_map, submission.gross_limit)


def book_hash(commitments: tuple[str, ...], entry_map: str, gross_limit: int) -> str:
    """Return the same of a book that is not submitted yet: a deal names it."""
    value = {"commitments": list(commitments), "entry_map": entry_map, "gross_limit": str(gross_limit)}
    return canonical_hash("book", value)


def day_of_time(time: str) -> int:
    """Return the day of a time as documents spell it, whole days since 1970-01-01 in UTC."""
    return int(instant(time).timestamp()) // 86_400


def is_due(state: Account, at: At) -> bool:
    """Return whether the newest tick is one that the book in force has to be run at, and was not."""
    book = state.public.book
    return book is not None and at.market > max(state.public.last_run, book.tick)


def awaits_run(state: Account, at: At) -> bool:
    """Return whether the book in force is due, or will be at the tick whose first document was receipted."""
    return is_due(state, at._replace(market=at.priced))


def book_at(state: Account, at: At) -> Book | None:
    """Return the book that a run which begins now has to be on: the one that came before its prices.

    A book that waits takes the place of the one in force when a tick has come since, unless a run is open, something is
    owed, or the last run was void.
    """
    public = state.public
    book, waiting = public.book, public.waiting
    pinned = public.run is not None or public.owed is not None or (book is not None and book.void is not None)
    return book if waiting is None or pinned or waiting.tick >= at.market else waiting


def with_book_at(state: Account, at: At) -> Account:
    """Bring the book in force that came before these prices, where no run of the one before it had begun by then."""
    book = book_at(state, at)
    if book is None or book != state.public.waiting:
        return state
    return with_public(state, book=book, waiting=None)


P = TypeVar("P", bound=Part)
B = TypeVar("B", bound=Body)


def updated(part: P, **changes: Any) -> P:
    """Return a part of a state with some fields changed; they come from what is validated."""
    return part.changed(changes)


def made(kind: type[P], **fields: Any) -> P:
    """Return a part of a state with these fields and its defaults; they come from what is validated."""
    blank: P = _blank(kind)
    return blank.changed(fields)


@cache
def _blank(kind: type[P]) -> P:
    return kind.model_construct()


def with_public(state: Account, **changes: Any) -> Account:
    """Return an account with some fields of its public part changed."""
    return updated(state, public=updated(state.public, **changes))


def body_of(event: Event, kind: type[B]) -> B:
    """Return what an event says, as the type that its kind has."""
    if not isinstance(event.body, kind):
        raise TypeError(f"the event {event.kind} is a {kind.__name__}, got {type(event.body).__name__}")
    return event.body


def in_force(state: Account) -> Book:
    """Return the book in force.

    Raises:
        WrongBook: there is none.
    """
    if state.public.book is None:
        raise WrongBook("the account has no book in force", "submission")
    return state.public.book


def require_next(number: int, last: int, what: str) -> None:
    """Make sure a number is the next one.

    Raises:
        OutOfSequence: it is not.
    """
    if number != last + 1:
        raise OutOfSequence(f"the next {what} sequence number is {last + 1}, got {number}", "sequence")
