"""Commit to a book, and send it: made under the keys in use, kept, and only then sent. For `agent`, under its lock."""

from collections.abc import Callable
from functools import partial

from atomic_margin.margin.market.portfolio import Portfolio, check_gross
from atomic_margin.service.institution.gains import prove_gain
from atomic_margin.service.institution.openings import read_openings
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.submissions import CommittedBook, make_submission
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.dealings import BookSharing
from atomic_margin.service.protocol.submissions import Settles
from atomic_margin.service.protocol.terms import Columned
from atomic_margin.zk.prove.commit import commit_values


def encode(party: Party, book: Portfolio, account: Columned) -> tuple[int, ...]:
    """Return a book's entries.

    Raises:
        MarginError: the book is wrong, by field, or over the gross limit.
    """
    z = party.terms.encode(book, account)
    check_gross(z, party.terms.columns(account), account.gross_limit)
    return tuple(int(value) for value in z)


def commit(party: Party, secret: bytes, sequence: int, values: tuple[int, ...]) -> CommittedBook:
    """Return a book with its commitments, whose blindings follow from the secret and its place."""
    context = {"institution": party.settings.institution, "submission_sequence": str(sequence)}
    return CommittedBook(values, *commit_values(values, secret, context))


def send(
    party: Party,
    outbox: Outbox,
    followed: Callable[[], Account],
    sequence: int,
    portfolio: Portfolio,
    book: CommittedBook,
    account: Columned,
    settles: Settles | None = None,
    sharing: BookSharing | None = None,
) -> None:
    """Make a submission under the keys in use, keep it, and send it.

    Args:
        party: the institution.
        outbox: keeps what is sent.
        followed: the account at the operator's last entry.
        sequence: of the submission.
        portfolio: the book, as a document.
        book: its entries, committed to.
        account: gross limit and columns.
        settles: losses that the book has no more, and what leaves for them.
        sharing: the deal of the book, where the account has custodians.

    Raises:
        RemoteError: the operator refuses.
        EntryRefused, AgentRefused: the account's history does not hold; nothing is sent.
    """
    own = party.keys.of(str(party.store.note("evaluation_keys")))
    keys = party.keys.secret(own)
    addressed = {
        "institution": party.settings.institution,
        "operator": party.settings.trust.operator,
        "sequence": str(sequence),
        "entry": party.history.head,
        "nonce": party.client.nonce(),
        "evaluation_keys": own.evaluation_keys,
    }
    openings = read_openings(keys, own.openings)
    make = partial(make_submission, addressed, account, party.terms, book, keys, openings)
    gain = partial(prove_gain, party, followed, settles=settles)
    made = make(party.store.use_masks, party.stage, gain, sharing)
    signed = made.signed_by(party.identity)
    outbox.keep_submission(signed, portfolio, book.blindings)
    party.stage("sending the submission")
    outbox.send(signed)
    party.stage("submitted")
