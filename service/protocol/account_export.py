"""What an institution knows of its account, as one document: for an operator that was restored from an older backup.

`service.institution.export` writes it and `service.operator.taking_back` reads it. Nothing in it has to be believed:
entries and ticks are signed by the operator itself, documents by it or by the institution. It is as confidential as
statuses and balances are, and holds nothing that the operator did not have.
"""

from typing import Literal

from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Document, Identifier, LongListOf, Part
from atomic_margin.service.protocol.signing import SignedDocument

MAX_EXPORT_BYTES = 1 << 30


class ExportedEntry(Part):
    """An entry of the account, and the document that it is about."""

    entry: SignedDocument
    document: SignedDocument


class AccountExport(Document):
    """Entries of one account and the ticks that they stand at.

    Attributes:
        institution: whose account it is.
        seed: what the salts of its entries are made from.
        entries: in their order, without a gap.
        ticks: the newest ones, in their order.
    """

    TAG = "account-export"
    format: Literal["atomic-margin/account-export/1"]
    institution: Identifier
    seed: Hash
    entries: LongListOf[ExportedEntry]
    ticks: LongListOf[SignedDocument]
