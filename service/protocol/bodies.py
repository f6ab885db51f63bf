"""What all signed documents are made of: bodies, claims without proofs, and their parsing.

`parse_signed` turns outside JSON into a checked pair of signed document and typed body. Hashes name other documents;
nothing is believed because it was sent along.
"""

from collections.abc import Mapping
from typing import ClassVar, TypeVar

from atomic_margin.documents.strict import Document
from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.protocol.signing import DocumentType, Identity, SignedDocument

B = TypeVar("B", bound="Body")


class Body(Document):
    """Body of a signed document of type `TYPE`."""

    TAG: ClassVar[str] = "body"
    TYPE: ClassVar[DocumentType]

    def signed_by(self, identity: Identity) -> SignedDocument:
        """Return the document with this body and a signature of `identity`."""
        body = self.canonical()
        if not isinstance(body, dict):
            raise TypeError("a body is a JSON object")
        return identity.sign(self.TYPE, body)


class DocumentClaim(Document):
    """What a document with proofs says, before there are any: the statements of its proofs are about this."""

    TAG: ClassVar[str] = "claim"

    def proven(self, document: type[B], more: Mapping[str, object] | None = None, /, **proofs: bytes) -> B:
        """Return the document that says this and ``more``, with its proofs by field name."""
        said = self.canonical()
        if not isinstance(said, dict):
            raise TypeError("a claim is a JSON object")
        return document.parse({**said, **(more or {}), **{name: proof.hex() for name, proof in proofs.items()}})


def parse_signed(value: object, body: type[B]) -> tuple[SignedDocument, B]:
    """Return the signed document in parsed JSON and its typed body. The signature is *not* checked here.

    Raises:
        MalformedRequest: another type of document.
        DocumentError: a field is wrong, named by its path.
    """
    signed = SignedDocument.parse(value)
    if signed.type != body.TYPE:
        raise MalformedRequest(f"a document of type {body.TYPE!r} is wanted here, this is {signed.type!r}", "type")
    typed = body.parse(signed.body)
    if typed.canonical() != signed.body:
        raise MalformedRequest("the body is not in its canonical form; leave absent fields out", "body")
    return signed, typed
