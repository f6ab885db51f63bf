"""Proofs of releases, checked once more from a history that an institution released, by public data.

The machine says that each was about its moment (`released.check_released`). Here it is shown that what remained was
initial margin of the committed book, gains counted as zero, or that what was given was worth what was taken; and that
what came back under an agreement was at least its minimum return.
"""

from typing import NamedTuple

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.released import ReleasedEntry
from atomic_margin.service.protocol.returns import check_return
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.unasked import verify_release
from atomic_margin.service.protocol.verification import verify_committed
from atomic_margin.zk.groups import Group


class ShownBook(NamedTuple):
    """A book of a history.

    Attributes:
        signed: the document.
        submission: its body.
        item: the entry that shows it.
    """

    signed: SignedDocument
    submission: Submission
    item: ReleasedEntry


class Releases:
    """Takes the books of one history, and checks what came back under them."""

    def __init__(self) -> None:
        self._books: dict[str, ShownBook] = {}
        self._committed: set[str] = set()

    def submitted(self, item: ReleasedEntry, document: SignedDocument) -> Submission:
        """Keep a book; return it. Its proof is looked at when something rests on it."""
        book = ShownBook(document, Submission.parse(document.body), item)
        self._books[document.body_hash()] = book
        return book.submission

    def book_of(self, release: Release) -> ShownBook | None:
        """Return the book that a release is about; None for none.

        Raises:
            Refused: the history does not have it.
        """
        if release.submission is None:
            return None
        book = self._books.get(release.submission)
        if book is None:
            raise Refused("the history does not have the book that a release is about", "submission")
        return book

    def check(
        self, document: SignedDocument, public: PublicState, market: Market | None, terms: Terms, group: Group
    ) -> None:
        """Check the proof of a release or a substitution, or its worth, and the minimum return.

        Args:
            document: the institution's.
            public: the account's state at its entry.
            market: prices of the tick that it names; None before there are any.
            terms: that the account is under, with the universe of the book.
            group: backend of the proofs.

        Raises:
            Refused: a proof does not hold, too little came back, or the book or the prices that it is about are not
                at hand.
            SignatureInvalid, DocumentError: a document is none of the institution's.
        """
        _, release = parse_signed(document, Release)
        book = self.book_of(release)
        if book is not None and release.submission not in self._committed:
            # Without its ranges a book could have less than nothing of a position.
            verify_committed(book.signed, book.submission, terms, public.identity, group)
            self._committed.add(book.signed.body_hash())
        check_return(release, public.agreement, terms, market)
        verify_release(
            document,
            release,
            submission=None if book is None else book.submission,
            submission_hash=release.submission,
            market=market,
            terms=terms,
            identity=public.identity,
            group=group,
        )
