"""What an agent checks of custodians, beside what the account machine says: policies are pinned, and receipts hold."""

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import InitialBelowMaintenance
from atomic_margin.service.errors import RequestError
from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.errors import CustodyNotPinned, EntryIllegal
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.resharings import check_reshared
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile

CHECKED = frozenset({CustodyAmendment.TYPE, Resharing.TYPE})
"""Documents that rest on custody policies, besides the admission."""


def check(document: SignedDocument, trust: TrustFile, institution: str) -> None:
    """Check that an account comes under a pinned policy, or that the receipts of a re-sharing hold under one.

    Args:
        document: of a type in `CHECKED`.
        trust: pins the policies that the account may be under.
        institution: whose account.

    Raises:
        CustodyNotPinned: the trust file does not pin the policy.
        EntryIllegal: a receipt does not hold.
    """
    if document.type == CustodyAmendment.TYPE:
        policy = CustodyAmendment.parse(document.body).custody
        if policy is not None:
            _pinned(policy.hash(), trust, institution)
        return
    resharing = Resharing.parse(document.body)
    try:
        check_reshared(resharing, _pinned(resharing.policy, trust, institution))
    except (RequestError, DocumentsError) as error:
        raise EntryIllegal(f"the book was not re-shared so: {error}") from error


def check_terms(policy: CustodyPolicy | None, terms: Terms) -> None:
    """Check that custodians can open whatever book is in breach under the terms, where there are to be any.

    Raises:
        EntryIllegal: they could not; the message says what the terms lack.
    """
    if policy is None:
        return
    try:
        terms.model.check_initial_margin(terms.schedule)
    except InitialBelowMaintenance as error:
        raise EntryIllegal(
            f"the account comes under a custody policy, and the terms do not go with any: {error}"
        ) from None


def _pinned(named: str, trust: TrustFile, institution: str) -> CustodyPolicy:
    for policy in (trust.custody or {}).get(institution, ()):
        if policy.hash() == named:
            return policy
    raise CustodyNotPinned(
        f"the account comes under the custody policy {named}, and the trust file does not pin it; pin what you agreed "
        "to (`trust --custody`)"
    )
