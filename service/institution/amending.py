"""Ask the operator for other terms of collateral, or other custodians. It agrees by an entry, or never.

The agent follows that entry like any. A question is not sent again by itself: whoever asks sees that it arrived.
"""

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.account.amendments import AgreementAmendment, CustodyAmendment
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.signing import SignedDocument


def ask(party: Party, outbox: Outbox, agreement: CollateralAgreement, ticks: int) -> str:
    """Sign an amendment and send it; return the hash of what was signed.

    Args:
        party: the institution.
        outbox: keeps what it signs.
        agreement: the terms that are to hold.
        ticks: for so many ticks from now on the institution is bound to what it signs.

    Raises:
        AgentRefused: there is no account yet, or it is under this agreement.
        UnknownAsset, IneligibleAsset: the agreement names an asset that the schedule does not have, or not what an
            asset becomes.
        RemoteError: the operator does not answer, or nothing could be entered of it now.
    """
    public = _public(party)
    agreement.check_schedule(party.terms.schedule)
    before = public.agreement
    if before is not None and before.agreement == agreement.hash():
        raise AgentRefused("the account is under this agreement already")
    said = {
        **_said(party, public, ticks),
        "sequence": str(1 if before is None else before.sequence + 1),
        "agreement": agreement.canonical(),
    }
    said |= {} if before is None else {"before": before.agreement}
    return _sent(party, outbox, AgreementAmendment.parse(said).signed_by(party.identity))


def ask_custody(party: Party, outbox: Outbox, policy: CustodyPolicy | None, ticks: int) -> str:
    """Sign that other custodians are to hold shares, or none, and send it; return the hash of what was signed.

    Args:
        party: the institution.
        outbox: keeps what it signs.
        policy: that the account is to be under; None for no custodians any more.
        ticks: for so many ticks from now on the institution is bound to what it signs.

    Raises:
        AgentRefused: there is no account yet, it is under this policy, or the trust file does not pin it.
        InitialBelowMaintenance: under the terms a book may be in breach that custodians could not open.
        RemoteError: the operator does not answer, or nothing could be entered of it now.
    """
    public, trust = _public(party), party.settings.trust
    before, named = public.custody, None if policy is None else policy.hash()
    if named == (None if before is None else before.policy):
        raise AgentRefused("the account is under this custody policy, or under none, already")
    if named is not None and named not in trust.custody_of(party.settings.institution):
        raise AgentRefused(
            f"the trust file does not pin the custody policy {named}, so this agent would not follow; pin it first "
            "(`trust --custody`), beside the one before"
        )
    if policy is not None:
        party.terms.model.check_initial_margin(party.terms.schedule)
    said = {**_said(party, public, ticks), "sequence": str((public.custody_amendments or 0) + 1)}
    said |= {} if policy is None else {"custody": policy.canonical()}
    said |= {} if before is None else {"before": before.policy}
    return _sent(party, outbox, CustodyAmendment.parse(said).signed_by(party.identity))


def _public(party: Party) -> PublicState:
    state = party.history.state
    if state is None:
        raise AgentRefused("the agent is not enrolled yet; enrol first")
    return state.public


def _said(party: Party, public: PublicState, ticks: int) -> dict[str, object]:
    return {
        "institution": party.settings.institution,
        "operator": party.settings.trust.operator,
        "entry": party.history.head,
        "until": str(public.newest.tick + ticks),
    }


def _sent(party: Party, outbox: Outbox, signed: SignedDocument) -> str:
    outbox.keep(signed)
    party.client.ask_to_amend(signed.to_json())
    return signed.body_hash()
