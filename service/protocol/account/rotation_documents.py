"""The document by which an institution replaces its identity key: signed by the old key, and by the new one too."""

from atomic_margin.documents.fields import Hash, PublicKey, Signature
from atomic_margin.documents.strict import Identifier
from atomic_margin.service.protocol.bodies import Body, DocumentClaim
from atomic_margin.service.protocol.signing import Identity, SignedDocument


class RotationClaim(DocumentClaim):
    """What a rotation says, without what shows that the new key is had: the new key signs this.

    Attributes:
        institution: whose key.
        operator: at whom; at every other operator the old key stays in force.
        entry: hash of the account's last entry, so that it can be entered there and nowhere else.
        old: the key in force.
        new: the one in its place.
    """

    institution: Identifier
    operator: PublicKey
    entry: Hash
    old: PublicKey
    new: PublicKey


class IdentityRotation(Body, RotationClaim):
    """The institution puts another identity key in the place of the one in force, which signs this.

    Attributes:
        possession: the new key's signature over the same document without this field.
    """

    TYPE = "identity-rotation"
    possession: Signature

    def verify_possession(self) -> None:
        """Check that whoever has the new key signed the same.

        Raises:
            SignatureInvalid: it is not the new key's signature.
        """
        said = self.canonical()
        if not isinstance(said, dict):
            raise TypeError("a body is a JSON object")
        body = {name: value for name, value in said.items() if name != "possession"}
        SignedDocument(type=self.TYPE, body=body, signer=self.new, signature=self.possession).verify(
            frozenset({self.new})
        )


def rotation(institution: str, operator: str, entry: str, old: Identity, new: Identity) -> SignedDocument:
    """Return the rotation from one key to another, signed by both."""
    said = {
        "institution": institution,
        "operator": operator,
        "entry": entry,
        "old": old.public_key,
        "new": new.public_key,
    }
    claim = RotationClaim.parse(said).canonical()
    if not isinstance(claim, dict):
        raise TypeError("a claim is a JSON object")
    possession = new.sign(IdentityRotation.TYPE, claim).signature
    return IdentityRotation.parse({**said, "possession": possession}).signed_by(old)
