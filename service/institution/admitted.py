"""Whether an account was opened under the terms that the institution pinned. Institution only."""

from atomic_margin.service.protocol.account.errors import AgreementNotPinned, CustodyNotPinned
from atomic_margin.service.protocol.account.events import AdmissionRecord
from atomic_margin.service.protocol.trust import TrustFile


def check_pinned(admission: AdmissionRecord, trust: TrustFile, institution: str) -> None:
    """Make sure that an account is under the collateral agreement and the custody policy that are pinned, or none.

    Raises:
        AgreementNotPinned, CustodyNotPinned: it is under another one.
    """
    agreement = None if admission.agreement is None else admission.agreement.hash()
    if agreement not in (trust.agreements_of(institution) or (None,)):
        shown = "no agreement" if agreement is None else f"the agreement {agreement}"
        raise AgreementNotPinned(
            f"the account was opened under {shown}, and the trust file pins another; ask the operator, or pin what "
            "both sides signed (`trust --agreement`)"
        )
    custody = None if admission.custody is None else admission.custody.hash()
    if custody not in (trust.custody_of(institution) or (None,)):
        shown = "no custody policy" if custody is None else f"the custody policy {custody}"
        raise CustodyNotPinned(
            f"the account was opened under {shown}, and the trust file pins another; ask the operator, or pin what "
            "you agreed to (`trust --custody`)"
        )
