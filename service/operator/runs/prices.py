"""Receipts for documents of sources: each gets a leaf of the log when it arrives, and is in the tick of its number.

A source sends its document by itself, or somebody sends several as a set; what is in the set alone is receipted in the
transaction of the tick. A tick combines everything that has a leaf of its number before its own, so what was receipted
cannot be left out. A source that signed two documents of a number counts as none, and both are receipted: that is what
shows it. A third would show nothing more and is not taken.
"""

from collections.abc import Sequence

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import Conflict, PricesRefused
from atomic_margin.service.feed.combine import require_signed
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.rules import in_force
from atomic_margin.service.operator.store import prices as store
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.market_chain import newest_tick
from atomic_margin.service.operator.store.tables import PriceRow
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.leaves import price_leaf
from atomic_margin.service.protocol.messages import PriceReceipt
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import MAX_OF_SOURCE, Place, Price, PriceTick, place_after


def take_price(operator: Operator, document: object) -> PriceReceipt:
    """Store a source's document for the next tick with a leaf of the log; the same one again has the same leaf.

    Raises:
        SignatureInvalid: it is not signed by a source of the price rules.
        MalformedRequest, DocumentError: it is no document of type `price` in canonical form.
        Conflict: it is for another number than the next one, or the third one of its source for it.
        PricesRefused: it names other rules or another tick before; `.field` says which.
    """
    signed, price = parse_signed(document, Price)
    with operator.store.unit_of_work() as session:
        row = store.find(session, signed)
        if row is None:
            newest = newest_tick(session)
            last = None if newest is None else PriceTick.parse(newest.document["body"])
            rules = in_force(operator, session, last).rules
            require_signed([signed], rules)
            place = place_after(last, rules)
            _require_placed(price, place)
            of_source = [one for one in store.receipted(session, place.sequence) if one.source == signed.signer]
            if len(of_source) >= MAX_OF_SOURCE:
                raise Conflict(
                    f"{MAX_OF_SOURCE} documents of this source for tick {place.sequence} are receipted, so that it "
                    "counts as none; a third is not taken",
                    "signer",
                )
            row = store.receipt(session, signed, instant_text(now()))
        leaf = price_leaf(SignedDocument.parse(row.document), row.received_at)
        return PriceReceipt.parse({"leaf": row.leaf, "header": leaf.canonical()})


def with_receipted(
    rows: Sequence[PriceRow], sent: Sequence[SignedDocument], sequence: int, rules: str
) -> tuple[SignedDocument, ...]:
    """Return the documents that go into a tick: what was receipted, then what was sent of its number besides.

    What is no prices of that number counts nowhere, so it is left out; so is a third document of a source.

    Raises:
        Conflict: something was receipted under other rules, so no tick under these may leave it out, or hold it.
    """
    documents = [SignedDocument.parse(row.document) for row in rows]
    if any(document.body["rules"] != rules for document in documents):
        raise Conflict(
            f"documents for tick {sequence} were receipted under other price rules: make the tick, or declare it void, "
            "under those first",
            "rules",
        )
    for document in sent:
        of_source = [one.body_hash() for one in documents if one.signer == document.signer]
        known = document.body_hash() in of_source or len(of_source) >= MAX_OF_SOURCE
        if not known and is_of(document, sequence):
            documents.append(document)
    return tuple(documents)


def is_of(document: SignedDocument, sequence: int) -> bool:
    """Return whether a document is prices of a number, in canonical form."""
    try:
        price = Price.parse(document.body)
    except (DocumentsError, MarginError):
        return False
    return price.market.sequence == sequence and price.canonical() == document.body


def _require_placed(price: Price, place: Place) -> None:
    number = price.market.sequence
    if number != place.sequence:
        raise Conflict(
            f"the next tick has number {place.sequence}, this is for {number}: nothing is receipted for another",
            "body.market.sequence",
        )
    for name, wanted in (("rules", place.rules), ("previous", place.previous), ("last_market", place.last_market)):
        if getattr(price, name) != wanted:
            detail = f"tick {number} has {wanted} here: look at the newest tick and sign after it"
            raise PricesRefused(detail, f"body.{name}")
