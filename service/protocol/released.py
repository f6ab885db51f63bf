"""A history that an institution releases: every entry of its account, with what shows that it was legal. Pure.

The public state after each entry comes with its salt, and the document of the entry where the machine needs it.
Documents that show what is private, and from which nothing public follows but a number, stay with the institution:
deposits, withdrawals, lists of readers, what is netted, what matured of free collateral. The private part is shown
before a liquidation, as in bundles, and before the steps of a default, which leave nothing of it aside. The seed of the
salts is never shown: each salt opens one hash.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from atomic_margin.documents.canonical import CanonicalValue
from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Document, LongListOf, Part
from atomic_margin.service.protocol.account.entries import Chain, Entry, Salts, followed
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.state import PrivateState, PublicState
from atomic_margin.service.protocol.signing import SignedDocument

JsonObject = dict[str, Any]
FORMAT = "atomic-margin/history/1"

KEPT_BACK = frozenset(
    {
        EventKind.DEPOSITED, EventKind.WITHDRAWN, EventKind.READERS_NAMED,
        EventKind.PARTY_NAMED, EventKind.DELIVERY_PROMISED, EventKind.RETURN_PROMISED, EventKind.NETTED,
        EventKind.FREE_MATURED,
    }
)  # fmt: skip
"""Events whose documents are not shown."""
BESIDE_FREE = frozenset(
    {
        EventKind.LIQUIDATED, EventKind.COLLATERAL_SEGREGATED, EventKind.COLLATERAL_SOLD, EventKind.DEFAULT_CLOSED,
    }
)  # fmt: skip
"""Events before which the private part is shown: whether they are legal depends on all of it."""


class ReleasedEntry(Part):
    """A signed entry with what its hashes hide, as far as it is shown.

    Attributes:
        entry: signed by the operator.
        salt: of the hash of the public part.
        public: that part of the state after it.
        document_salt: of the hash of the document, where that is shown.
        document: what the entry is about.
        private_salt: of the hash of the private part, where that is shown.
        private: that part; before what is in `BESIDE_FREE`.
    """

    entry: JsonObject
    salt: Hash
    public: PublicState
    document_salt: Hash | None = None
    document: JsonObject | None = None
    private_salt: Hash | None = None
    private: PrivateState | None = None


class ReleasedHistory(Document):
    """Entries of one account, as its institution releases them. Format ``atomic-margin/history/1``.

    Attributes:
        format: of the file.
        entries: from the first on, without a gap.
    """

    TAG: ClassVar[str] = "history"

    format: Literal["atomic-margin/history/1"]
    entries: LongListOf[ReleasedEntry]

    @property
    def owed_since(self) -> int | None:
        """Number of the entry since which a book is owed without a break, at the last entry; None if none is.

        Of who is silent from tick to tick every run is overdue only for a moment, and the book is owed all the time.
        """
        number = None
        for at, item in enumerate(self.entries, 1):
            number = None if item.public.owed is None else (number or at)
        return number


def release(entries: Iterable[tuple[SignedDocument, SignedDocument]], salts: Salts, operator: str) -> JsonObject:
    """Return what an institution releases of its account, as JSON.

    Args:
        entries: every entry and its document, in order, as they were followed.
        salts: of the account.
        operator: public key of the operator.

    Raises:
        EntryRefused: they are no history.
    """
    chain, shown = Chain(), list[dict[str, CanonicalValue]]()
    for signed, document in entries:
        before = chain
        chain = followed(chain, signed, document, salts, operator)
        if chain.state is None:
            raise TypeError("an entry was followed to no state")
        kind = Entry.parse(signed.body).kind
        if kind in BESIDE_FREE and before.state is not None:
            private = before.state.private.canonical()
            shown[-1] |= {"private_salt": salts.of("private", before.number), "private": private}
        item = {
            "entry": signed.canonical(),
            "salt": salts.of("public", chain.number),
            "public": chain.state.public.canonical(),
        }
        if kind not in KEPT_BACK:
            item |= {"document_salt": salts.of("document", chain.number), "document": document.canonical()}
        shown.append(item)
    return {"format": FORMAT, "entries": shown}
