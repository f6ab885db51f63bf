"""The document by which both sides amend a collateral agreement: the institution signs it, the operator enters it."""

from atomic_margin.documents.fields import Counter, Hash, PublicKey
from atomic_margin.documents.strict import Identifier
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.protocol.bodies import Body


class AgreementAmendment(Body):
    """Other terms of collateral take the place of those that an account is under.

    The institution asks by this; the operator agrees by the entry that it makes of it, or makes none. It is void after
    the tick that it names, and once anything else was agreed to.

    Attributes:
        entry: hash of the last entry that the institution saw.
        sequence: how often the agreement was amended, this one included.
        before: hash of the agreement so far; absent where there was none.
        agreement: the one in its place.
        until: number of the last tick at which it may be entered.
    """

    TYPE = "agreement-amendment"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    sequence: Counter
    before: Hash | None = None
    agreement: CollateralAgreement
    until: Counter
