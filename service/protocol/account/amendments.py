"""Documents by which both sides amend what an account is under: the institution signs, the operator enters.

The institution asks by such a document; the operator agrees by the entry that it makes of it, or makes none. It is void
after the tick that it names, and once anything else of its kind was agreed to.
"""

from atomic_margin.documents.fields import Counter, Hash, PublicKey
from atomic_margin.documents.strict import Identifier
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.custody import CustodyPolicy


class AgreementAmendment(Body):
    """Other terms of collateral take the place of those that an account is under.

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


class CustodyAmendment(Body):
    """Another custody policy takes the place of the one that an account is under, or none does.

    Attributes:
        institution: whose account.
        operator: at whom.
        entry: hash of the last entry that the institution saw.
        sequence: how often custody was amended, this one included.
        before: hash of the policy so far; absent where the account had no custodians.
        custody: the one in its place; absent where it is to have no custodians any more.
        until: number of the last tick at which it may be entered.
    """

    TYPE = "custody-amendment"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    sequence: Counter
    before: Hash | None = None
    custody: CustodyPolicy | None = None
    until: Counter
