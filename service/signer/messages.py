"""What a signer answers, as types. For its HTTP face, and for `atomic-margin signer status`."""

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.protocol.messages import Count, ResponseBody


class SignedAttestation(ResponseBody):
    """An attestation for a vault."""

    message: dict[str, str]
    """Fields of the EIP-712 document; integers as decimal strings, hashes and addresses as `0x` hex."""
    signature: str
    """r, s and v, 65 bytes as `0x` hex."""
    signer: str
    """Address."""


class Happened(ResponseBody):
    """Something that a signer signed, or did not."""

    kind: str
    """Which EIP-712 document."""
    subject: str
    """Run or account."""
    said: str
    """`signed`, or the name of the error."""
    at: Count
    """Seconds of the epoch, by the signer's clock."""


class SignerStatus(ResponseBody):
    """What a signer is, and what it did."""

    signer: str
    """Address."""
    chain: Count
    """Id of the chain."""
    vault: str
    """Address of the vault."""
    oracle: str
    """Address of the oracle."""
    signer_set: Count | None = None
    """Version of the set in force; absent while the chain cannot be read."""
    counted: bool | None = None
    """Whether that set has this signer; absent likewise."""
    signed: Count
    """Messages since its journal was made."""
    refused: Count
    """Requests that it refused, likewise."""
    newest: ListOf[Happened]
    """What happened last, the newest first."""
