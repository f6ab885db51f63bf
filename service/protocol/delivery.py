"""Delivery receipts: a witness's signed word that it was handed a document by a time. Pure.

Who has a document that an operator does not take hands its hash to a witness. The receipt shows that the document was
there by then; what it says, and whether it is any good, the witness does not know.
"""

from datetime import datetime

from atomic_margin.documents.fields import Hash, PublicKey, Time
from atomic_margin.documents.strict import Label, Part
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.bodies import Body, parse_signed
from atomic_margin.service.protocol.signing import SignedDocument


class DeliveryRequest(Part):
    """What a witness is asked.

    Attributes:
        log: origin of the log whose operator the document is meant for.
        document: hash that names it in other documents (`SignedDocument.body_hash`).
    """

    log: Label
    document: Hash


class DeliveryReceipt(Body):
    """That a witness was told a document's hash at a time; the first time, however often it is told.

    Attributes:
        log: origin of the log whose operator the document is meant for.
        document: hash that names it in other documents.
        witness: who signs.
        received_at: the witness's time.
    """

    TYPE = "delivery"
    log: Label
    document: Hash
    witness: PublicKey
    received_at: Time

    @property
    def moment(self) -> int:
        """When it was received, seconds of the epoch."""
        return int(datetime.fromisoformat(self.received_at.replace("Z", "+00:00")).timestamp())


def read_receipt(
    value: object, witnesses: frozenset[str], log: str, document: str
) -> tuple[SignedDocument, DeliveryReceipt]:
    """Return a receipt, signed and typed, after checking it.

    Args:
        value: parsed JSON.
        witnesses: public keys of those whose receipts count, in hex (`LogTrust.witness_keys`).
        log: origin that it has to name.
        document: hash that it has to name.

    Raises:
        MalformedRequest, DocumentError: it is no receipt.
        SignatureInvalid: none of the witnesses signed it.
        Refused: it names another witness than its signer, another log or another document.
    """
    signed, receipt = parse_signed(value, DeliveryReceipt)
    signed.verify(witnesses)
    for name, wanted in (("witness", signed.signer), ("log", log), ("document", document)):
        if getattr(receipt, name) != wanted:
            raise Refused(f"the receipt names another {name} than {wanted}", name)
    return signed, receipt
