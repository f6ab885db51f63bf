"""Agree to the loss of this institution's default.

The agent agrees to none by itself: somebody there says how much, and the operator agrees to it, or does not.
"""

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.account.default_documents import LossAgreement
from atomic_margin.service.protocol.waterfall import WaterfallRules


def agree(party: Party, outbox: Outbox, loss: int, reason: str) -> str:
    """Sign what closing out the book of this institution's default has lost; return the hash of what was signed.

    It is a question until the operator agrees, and void after another sale. It is not sent again by itself. If a loss
    is agreed already, the operator's agreement puts this one in its place.

    Args:
        party: in default.
        outbox: keeps what is signed.
        loss: in smallest units of the cash of the pinned rules.
        reason: for the operator and whoever is shown the default.

    Raises:
        AgentRefused: the account is not in default, or no rules are pinned.
        DocumentError: the reason is no text for a document.
        RemoteError: the operator does not answer, or nothing could be entered of it now.
    """
    state, trust = party.history.state, party.settings.trust
    default = None if state is None else state.public.default
    if default is None:
        raise AgentRefused("the account is not in default, so there is no loss to agree to")
    if trust.waterfall is None:
        raise AgentRefused("the trust file pins no waterfall rules; read them, and pin them as `waterfall`")
    rules = WaterfallRules.parse(party.client.terms("waterfall"))
    if rules.hash() != trust.waterfall:
        raise AgentRefused("the operator publishes other waterfall rules than are pinned here")
    said = {
        "institution": party.settings.institution,
        "operator": trust.operator,
        "entry": party.history.head,
        "settlement": default.settlement,
        "stages": str(default.stages),
        "rules": trust.waterfall,
        "asset": rules.cash,
        "loss": str(loss),
        "reason": reason,
        **({} if default.agreement is None else {"replaces": default.agreement}),
    }
    signed = LossAgreement.parse(said).signed_by(party.identity)
    outbox.keep(signed)
    party.client.offer_loss(signed.to_json())
    return signed.body_hash()
