"""Ed25519 identities and signed documents. Everyone uses it; a private key never leaves the `Identity` that holds it.

A signature covers a domain tag, the document's type and its canonical bytes (RFC 8032 over RFC 8785), so a signature on
one type of document is none on another:

>>> identity = Identity.generate()
>>> signed = identity.sign("tick", {"sequence": "1"})
>>> signed.verify(frozenset({identity.public_key}))
>>> signed.verify(frozenset())
Traceback (most recent call last):
    ...
atomic_margin.service.request_errors.SignatureInvalid: tick: signed by a key that is not trusted for it
"""

import os
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from atomic_margin.documents.canonical import CanonicalValue, canonical_bytes, canonical_hash, tagged_hash
from atomic_margin.documents.fields import PublicKey, Signature
from atomic_margin.documents.strict import Document
from atomic_margin.service.errors import ConfigurationError, SignatureInvalid

DocumentType = Literal[
    "price", "tick", "enrolment", "enrolment-confirmation", "submission", "run", "answer", "settlement",
    "collateral-instruction", "attestation", "shortfall", "admission", "deposit", "run-opened", "run-void", "overdue",
    "coverage", "readers", "giving-up", "entry", "delivery", "price-rules",
    "universe-revision",
    "release",
    "dispute", "dispute-resolution", "dispute-withdrawal", "dispute-lapse",
    "party", "obligation", "netting",
    "sale", "loss-agreement", "close-out", "fund-contribution", "fund-draw",
    "maturity",
    "archive", "agreement-amendment",
    "halt", "resume",
    "segregation",
    "identity-rotation",
    "chain-account",
    "dealing", "share-receipt", "share-complaint", "resealed-shares",
    "opening-request", "opening-lapse", "opened", "opening-verdict",
    "custody-amendment", "resharing-request", "passed-on", "resharing",
]  # fmt: skip

_DOMAIN = b"atomic-margin/v1/signature/"
# Every signature base of `service.http.signatures` begins so; no document does, and no note.
_REQUEST = b'"@method": '
_ROW_SHARES = b"atomic-margin/row-shares/1\n"


class SignedDocument(Document):
    """A body with the Ed25519 signature of one key over its type and canonical bytes."""

    TAG: ClassVar[str] = "signed"

    type: DocumentType
    body: dict[str, Any]
    signer: PublicKey
    signature: Signature

    def to_json(self) -> dict[str, Any]:
        """Return the whole signed document as a JSON object."""
        return {"type": self.type, "body": self.body, "signer": self.signer, "signature": self.signature}

    def canonical(self) -> CanonicalValue:
        """Return the same, for hashing."""
        return self.to_json()

    def body_hash(self) -> str:
        """Return the hash that names the body in other documents; the signature is not part of it."""
        return canonical_hash(self.type, self.body)

    def verify(self, trusted: frozenset[str]) -> None:
        """Check the signature.

        Raises:
            SignatureInvalid: the signer is not among `trusted`, or the signature is wrong.
        """
        if self.signer not in trusted:
            raise SignatureInvalid(f"{self.type}: signed by a key that is not trusted for it", "signer")
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.signer))
            key.verify(bytes.fromhex(self.signature), _message(self.type, self.body))
        except (InvalidSignature, ValueError):
            raise SignatureInvalid(f"{self.type}: the signature does not match the document", "signature") from None


class Hashes(NamedTuple):
    """What a signed document is named by, computed at once for who needs all of it.

    Attributes:
        body: `SignedDocument.body_hash`.
        document: `SignedDocument.hash`.
        data: canonical bytes of the document.
    """

    body: str
    document: str
    data: bytes

    @classmethod
    def of(cls, signed: SignedDocument) -> "Hashes":
        """Return those of a document."""
        body = canonical_bytes(signed.body)
        # The rest is checked: hex, and the name of a type. RFC 8785 sorts by name.
        rest = f',"signature":"{signed.signature}","signer":"{signed.signer}","type":"{signed.type}"}}'
        data = b'{"body":' + body + rest.encode()
        return cls(tagged_hash(signed.type, body), tagged_hash(signed.TAG, data), data)


class Identity:
    """An Ed25519 key pair."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Use `generate` or `load_or_create`."""
        self._key = key
        self.public_key: str = key.public_key().public_bytes_raw().hex()

    @classmethod
    def generate(cls) -> "Identity":
        """Make a fresh key pair."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, path: Path) -> "Identity":
        """Read the key at `path`, or make one there (mode 0600).

        Raises:
            ConfigurationError: the file is no Ed25519 key.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            identity = cls.generate()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(identity._key.private_bytes_raw())
                file.flush()
                os.fsync(file.fileno())
            return identity
        if len(data) != 32:
            raise ConfigurationError(f"{path} is not a 32-byte Ed25519 key; restore it from your backup")
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def sign(self, kind: DocumentType, body: dict[str, Any]) -> SignedDocument:
        """Sign a body of the given type."""
        signature = self._key.sign(_message(kind, body)).hex()
        return SignedDocument(type=kind, body=body, signer=self.public_key, signature=signature)

    def sign_note(self, text: bytes) -> bytes:
        """Sign the text of a checkpoint, or of a cosignature, of `service.log`; never what could be a document's.

        Raises:
            ValueError: the text begins like a document.
        """
        if text.startswith((_DOMAIN, _REQUEST, _ROW_SHARES)):
            raise ValueError("this text begins like a signed document, a request, or shares of rows")
        return self._key.sign(text)

    def sign_request(self, base: bytes) -> bytes:
        """Sign the signature base of an HTTP request (RFC 9421), see `service.http.signatures`.

        Raises:
            ValueError: it does not begin like one, so it might be a document or a note.
        """
        if not base.startswith(_REQUEST):
            raise ValueError("this is no signature base of a request")
        return self._key.sign(base)

    def sign_row_shares(self, shares: bytes) -> bytes:
        """Sign shares of opened rows with what they belong to, see `service.custodian.closing`; 64 bytes."""
        return self._key.sign(_ROW_SHARES + shares)

    def certify(self, certificate: x509.CertificateBuilder) -> x509.Certificate:
        """Sign an X.509 certificate, whose DER begins like no document, note or request."""
        return certificate.sign(self._key, None)


def verify_row_shares(signer: str, shares: bytes, signature: bytes) -> None:
    """Check what `Identity.sign_row_shares` returned.

    Raises:
        SignatureInvalid: it is not of this public key, or of something else.
    """
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(signature, _ROW_SHARES + shares)
    except (InvalidSignature, ValueError):
        raise SignatureInvalid("the signature does not match the shares of rows", "signature") from None


def _message(kind: str, body: dict[str, Any]) -> bytes:
    return _DOMAIN + kind.encode() + b"\n" + canonical_bytes(body)
