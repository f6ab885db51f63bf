"""What the leaves of an operator's log say: readable headers that hold hashes only. Pure; no secret.

A leaf is the canonical JSON of a header. Who wants what it names fetches it elsewhere, hashes it, and compares.
"""

from typing import ClassVar, Literal

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.fields import Counter, Hash, Time
from atomic_margin.documents.strict import Document
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
