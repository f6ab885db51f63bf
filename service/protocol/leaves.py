"""What the leaves of an operator's log say: readable headers that hold hashes only. Pure; no secret.

A leaf is the canonical JSON of a header. Who wants what it names fetches it elsewhere, hashes it, and compares.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from atomic_margin.documents.canonical import CanonicalValue, canonical_bytes
from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Document
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.netting_documents import Day, Netting
from atomic_margin.service.protocol.signing import SignedDocument


class TickLeaf(Document):
    """A price tick in the log, format ``atomic-margin/leaf/1``.

    Attributes:
        kind: `tick`.
        sequence: number of the tick.
        tick: hash of its body, as the next tick names it.
        document: hash of the whole signed document, its signature included.
        previous: hash of the body of the tick before; 64 zeros in the first.
        rules: hash of the price rules.
        received_at: the operator's time at which the prices arrived.
    """

    TAG: ClassVar[str] = "leaf"

    format: Literal["atomic-margin/leaf/1"]
    kind: Literal["tick"]
    sequence: Counter
    tick: Hash
    document: Hash
    previous: Hash
    rules: Hash
    received_at: Time

    def to_bytes(self) -> bytes:
        """Return the leaf as it stands in the log."""
        return canonical_bytes(self.canonical())


def tick_leaf(signed: SignedDocument) -> TickLeaf:
    """Return the leaf of a signed tick."""
    body = signed.body
    return TickLeaf.parse(
        {
            "format": "atomic-margin/leaf/1",
            "kind": "tick",
            "sequence": body["sequence"],
            "tick": signed.body_hash(),
            "document": signed.hash(),
            "previous": body["previous"],
            "rules": body["rules"],
            "received_at": body["received_at"],
        }
    )


class PriceLeaf(Document):
    """A source's signed prices in the log, format ``atomic-margin/leaf/3``: with its inclusion, their receipt.

    Attributes:
        kind: `price`.
        source: public key of the source.
        sequence: number of the tick they are for.
        price: hash of the body of the document.
        document: hash of the whole signed document, its signature included.
        received_at: the operator's time at which it arrived.
    """

    TAG: ClassVar[str] = "leaf"

    format: Literal["atomic-margin/leaf/3"]
    kind: Literal["price"]
    source: PublicKey
    sequence: Counter
    price: Hash
    document: Hash
    received_at: Time

    def to_bytes(self) -> bytes:
        """Return the leaf as it stands in the log."""
        return canonical_bytes(self.canonical())


def price_leaf(signed: SignedDocument, received_at: str) -> PriceLeaf:
    """Return the leaf of a signed document of type `price` that arrived at a time."""
    return PriceLeaf.parse(
        {
            "format": "atomic-margin/leaf/3",
            "kind": "price",
            "source": signed.signer,
            "sequence": signed.body["market"]["sequence"],
            "price": signed.body_hash(),
            "document": signed.hash(),
            "received_at": received_at,
        }
    )


class EntryLeaf(Document):
    """An entry of an account in the log, format ``atomic-margin/leaf/2``. What happened is in the entry alone.

    Attributes:
        kind: `entry`.
        account: pseudonym of the account.
        number: of the entry, from 1 without a gap.
        previous: hash of the body of the entry before; 64 zeros in the first.
        entry: hash of its own body, as the next entry names it.
        document: hash of the whole signed entry, its signature included.
        run: whether it begins or records a run; everything else is told apart by nobody who reads the log.
        tick: hash of the newest tick before it, void or not; 64 zeros if there is none.
        tick_sequence: number of that tick.
        receipted: number of the next tick if a document of a source for it has a leaf before this one, that of the
            newest tick otherwise.
        entered_at: the operator's time.
    """

    TAG: ClassVar[str] = "leaf"

    format: Literal["atomic-margin/leaf/2"]
    kind: Literal["entry"]
    account: Hash
    number: Counter
    previous: Hash
    entry: Hash
    document: Hash
    run: bool
    tick: Hash
    tick_sequence: Counter
    receipted: Counter
    entered_at: Time

    def to_bytes(self) -> bytes:
        """Return the leaf as it stands in the log."""
        return canonical_bytes(self.canonical())


_OF_ENTRY = ("account", "number", "previous", "tick", "tick_sequence", "receipted", "entered_at")

RUN_KINDS = frozenset({EventKind.RUN_OPENED, EventKind.RUN_RECORDED})
"""Entries that readers of the log see to be about a run."""


def entry_leaf(signed: SignedDocument) -> EntryLeaf:
    """Return the leaf of a signed entry."""
    return EntryLeaf.parse(leaf_fields(signed.body, Entry.parse(signed.body).kind, signed.body_hash(), signed.hash()))


def leaf_fields(body: Mapping[str, Any], kind: EventKind, entry: str, document: str) -> dict[str, CanonicalValue]:
    """Return what the leaf of an entry says, by its body and kind, and the hashes of the body and of all of it."""
    return {
        "format": "atomic-margin/leaf/2",
        "kind": "entry",
        "entry": entry,
        "document": document,
        "run": kind in RUN_KINDS,
        **{name: body[name] for name in _OF_ENTRY},
    }


class CycleLeaf(Document):
    """A cycle of netting in the log, format ``atomic-margin/leaf/4``: the same for all, so that there is one of it.

    It stands before the entries of the accounts that are in the cycle, and no checkpoint parts it from them.

    Attributes:
        kind: `cycle`.
        number: of the cycle, from 1 without a gap.
        settles: the day; days go up.
        tree: hash of root and size of the tree of its lines and groups, which only those have who are shown some.
        netted_at: the operator's time.
    """

    TAG: ClassVar[str] = "leaf"

    format: Literal["atomic-margin/leaf/4"]
    kind: Literal["cycle"]
    number: Counter
    settles: Day
    tree: Hash
    netted_at: Time

    def to_bytes(self) -> bytes:
        """Return the leaf as it stands in the log."""
        return canonical_bytes(self.canonical())


def cycle_leaf(number: int, settles: str, root: str, size: int, netted_at: str) -> CycleLeaf:
    """Return the leaf of a cycle. The root is secret to readers of the log, and so salts the size."""
    return CycleLeaf.parse(
        {
            "format": "atomic-margin/leaf/4",
            "kind": "cycle",
            "number": str(number),
            "settles": settles,
            "tree": salted_hash(root, {"size": str(size)}),
            "netted_at": netted_at,
        }
    )


def leaf_of_netting(netting: Netting) -> CycleLeaf:
    """Return the leaf that the log has to have of a cycle, by what one account was shown of it."""
    return cycle_leaf(netting.cycle, netting.settles, netting.root, netting.size, netting.netted_at)
