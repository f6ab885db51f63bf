"""Proofs of releases, checked once more from a history that an institution released: offline, by public data.

The machine says that each was about its moment (`released.check_released`). Here it is shown that what remained was
initial margin of the committed book, gains counted as zero, or that what was given was worth what was taken; and that
what came back under an agreement was at least its minimum return.
"""

from collections.abc import Mapping

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.released import ReleasedHistory
from atomic_margin.service.protocol.returns import check_return
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.unasked import verify_release
from atomic_margin.service.protocol.verification import verify_committed
from atomic_margin.zk.groups import Group


def check_releases(history: ReleasedHistory, ticks: Mapping[str, Market], terms: Terms, group: Group) -> int:
    """Check the proof of every release and substitution in a history; return how many there are.

    Args:
        history: whose steps are legal.
        ticks: prices of verified ticks, by the hash of the tick; those that releases name are needed.
        terms: that the account is under, with every universe of its books.
        group: backend of the proofs.

    Raises:
        Refused: a proof does not hold, too little came back, or the book or the prices that it is about are not at
            hand.
        SignatureInvalid, DocumentError: a document is none of the institution's.
    """
    books: dict[str, SignedDocument] = {}
    checked: set[str] = set()
    found = 0
    for item in history.entries:
        if item.document is None:
            continue
        signed, identity = SignedDocument.parse(item.document), item.public.identity
        if signed.type == Submission.TYPE:
            books[signed.body_hash()] = signed
        if signed.type != Release.TYPE:
            continue
        _, release = parse_signed(signed, Release)
        book = None if release.submission is None else books.get(release.submission)
        if release.submission is not None and book is None:
            raise Refused("the history does not have the book that a release is about", "submission")
        submission = None if book is None else Submission.parse(book.body)
        if book is not None and submission is not None and book.body_hash() not in checked:
            # Without its ranges a book could have less than nothing of a position.
            verify_committed(book, submission, terms, identity, group)
            checked.add(book.body_hash())
        market = ticks.get(release.tick)
        if submission is not None and market is None:
            raise Refused(f"the prices of tick {release.price_sequence} are not at hand", "price_sequence")
        check_return(release, item.public.agreement, terms, market)
        verify_release(
            signed,
            release,
            submission=submission,
            submission_hash=None if book is None else book.body_hash(),
            market=market,
            terms=terms,
            identity=identity,
            group=group,
        )
        found += 1
    return found
