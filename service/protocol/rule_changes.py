"""How price rules follow one another: a change signed by enough sources of the rules that it ends.

Who relies on prices pins the first rules. Every tick carries the changes since, so that whoever has a tick has what
leads from the pinned rules to those it was made under.
"""

from typing import ClassVar

from pydantic import field_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, PublicKey
from atomic_margin.documents.strict import Document, NonEmptyListOf, problem
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.price_rules import MAX_SOURCES, PriceRules
from atomic_margin.service.protocol.signing import SignedDocument


class NewRules(Body):
    """What a source signs to have other price rules: sources, threshold or bounds.

    Attributes:
        operator: public key of the operator whose ticks it is about, so that it changes nobody else's.
        previous: hash of the rules that end, whose sources sign this.
        from_sequence: number of the first tick under the new rules.
        rules: the new ones.
    """

    TYPE = "price-rules"
    operator: PublicKey
    previous: Hash
    from_sequence: Counter
    rules: PriceRules


class RulesChange(Document):
    """A change of price rules. Not signed: its parts are, each by one source, and all over the same body.

    Attributes:
        signed: documents of type `price-rules`.
    """

    TAG: ClassVar[str] = "price-rules-change"

    signed: NonEmptyListOf[SignedDocument]

    @field_validator("signed", mode="before")
    @classmethod
    def _few(cls, value: object) -> object:
        # Before any of them is looked at: each has a key to check.
        if isinstance(value, list) and len(value) > MAX_SOURCES:
            raise problem(MalformedDocument, f"at most {MAX_SOURCES} documents here, got {len(value)}")
        return value
