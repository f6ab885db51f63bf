"""Public files: what a party hands to others once, so that nobody copies keys by hand. Pure.

``atomic-margin init`` writes one beside the private keys of each party. Whoever takes a file compares its fingerprint
with its owner over another way: what is in it is trusted from then on.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Hash, PublicKey
from atomic_margin.documents.strict import Document, Identifier, Label, ListOf, Part
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.trust import LogKeyText, WitnessKeyText

FORMAT = "atomic-margin/public/1"
Address: TypeAlias = Annotated[str, Field(pattern=r"^https?://[!-~]{1,200}$")]
_Format = Literal["atomic-margin/public/1"]


class SourcePublic(Document):
    """A price source.

    Attributes:
        name: for people.
        key: that it signs prices with.
    """

    TAG = "public-source"
    format: _Format
    role: Literal["source"]
    name: Label
    key: PublicKey


class WitnessPublic(Document):
    """A witness.

    Attributes:
        name: that it cosigns under.
        address: where it listens.
        key: that it cosigns with: name+identifier+base64.
    """

    TAG = "public-witness"
    format: _Format
    role: Literal["witness"]
    name: Label
    address: Address
    key: WitnessKeyText


class NamedWitness(Part):
    """A witness that an operator asks; whoever trusts one has its own file."""

    address: Address
    key: WitnessKeyText


class OperatorPublic(Document):
    """An operator.

    Attributes:
        name: for people.
        address: of its server.
        operator: the key that it signs with.
        log: key of its log.
        witnesses: that it asks.
        prices: its first price rules.
        model, universe, schedule, profile, generators: hashes of its terms.
        waterfall: hash of its rules, if it has some.
        breakers: its rules, if it has some.
    """

    TAG = "public-operator"
    format: _Format
    role: Literal["operator"]
    name: Label
    address: Address
    operator: PublicKey
    log: LogKeyText
    witnesses: ListOf[NamedWitness]
    prices: PriceRules
    model: Hash
    universe: Hash
    schedule: Hash
    profile: Hash
    generators: Hash
    waterfall: Hash | None = None
    breakers: BreakerRules | None = None


class InstitutionPublic(Document):
    """An institution.

    Attributes:
        name: its account's.
        legal_name: for people.
        identity: the key that it signs with.
        keys: hashes of its FHE key commitments, old ones and new; none before it has enrolled.
    """

    TAG = "public-institution"
    format: _Format
    role: Literal["institution"]
    name: Identifier
    legal_name: Label
    identity: PublicKey
    keys: ListOf[Hash]


PublicFile: TypeAlias = SourcePublic | WitnessPublic | OperatorPublic | InstitutionPublic
P = TypeVar("P", SourcePublic, WitnessPublic, OperatorPublic, InstitutionPublic)


def parse_public(kind: type[P], value: Any) -> P:
    """Return the public file of one kind of party.

    Raises:
        DocumentError: it is something else, or another party's.
    """
    if isinstance(value, dict) and value.get("format") == FORMAT:
        wanted = kind.model_fields["role"].annotation.__args__[0]  # type: ignore[union-attr]
        if value.get("role") != wanted:
            raise MalformedDocument("role", f"this is the public file of a {value.get('role')}, not of a {wanted}")
    return kind.parse(value)


def fingerprint(document: PublicFile) -> str:
    """Return what two people compare: the first half of the document's hash, in groups."""
    digits = document.hash()[:32]
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
