"""Ask the operator for other terms of collateral. It agrees by an entry, or never; the agent follows that like any."""

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.account.amendments import AgreementAmendment


def ask(party: Party, outbox: Outbox, agreement: CollateralAgreement, ticks: int) -> str:
    """Sign an amendment and send it; return the hash of what was signed.

    It is not sent again by itself: it is a question, and whoever asks sees that it arrived.

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
    state = party.history.state
    if state is None:
        raise AgentRefused("the agent is not enrolled yet; enrol first")
    agreement.check_schedule(party.terms.schedule)
    before = state.public.agreement
    if before is not None and before.agreement == agreement.hash():
        raise AgentRefused("the account is under this agreement already")
    said = {
        "institution": party.settings.institution,
        "operator": party.settings.trust.operator,
        "entry": party.history.head,
        "sequence": str(1 if before is None else before.sequence + 1),
        "agreement": agreement.canonical(),
        "until": str(state.public.newest.tick + ticks),
    }
    said |= {} if before is None else {"before": before.agreement}
    signed = AgreementAmendment.parse(said).signed_by(party.identity)
    outbox.keep(signed)
    party.client.ask_to_amend(signed.to_json())
    return signed.body_hash()
