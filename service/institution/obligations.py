"""Promise to bring an asset by a day, or to take some on it, which a cycle nets.

The institution names the party that it agrees to be netted as: if the operator named another one, it refuses.
"""

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.account.netting_documents import Obligation
from atomic_margin.service.protocol.agent_messages import Promise


def promise(party: Party, outbox: Outbox, asked: Promise) -> str:
    """Sign and send an obligation; return its hash.

    Raises:
        AgentRefused: the operator named no party for the account, or another one.
        DocumentError: the day or another field is none.
        RemoteError: the operator refuses, and nothing is sent again; or does not answer, and it is.
    """
    state = party.history.state
    netting = None if state is None else state.private.netting
    if netting is None:
        raise AgentRefused("the operator has named no legal party for this account; ask it to")
    if (netting.party, netting.scope) != (asked.party, asked.scope):
        raise AgentRefused(
            f"the operator named party {netting.party}, netted by {netting.scope}; you agree to {asked.party} by "
            f"{asked.scope}"
        )
    body = Obligation.parse(
        {
            "institution": party.settings.institution,
            "operator": party.settings.trust.operator,
            "sequence": str(netting.obligations + 1),
            "entry": party.history.head,
            **asked.model_dump(),
        }
    )
    signed = body.signed_by(party.identity)
    outbox.keep(signed)
    outbox.send(signed)
    return signed.body_hash()
