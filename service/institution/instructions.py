"""Post or withdraw the institution's own free collateral: the next instruction, signed and sent."""

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.documents import CollateralInstruction


def instruct(party: Party, outbox: Outbox, action: str, asset: str, quantity: int) -> None:
    """Sign and send an instruction, in an account that is followed to its end.

    Raises:
        DocumentError: it is none.
        RemoteError: the operator refuses, and nothing is sent again; or does not answer, and it is.
        EntryRefused, AgentRefused: the operator says it took it, and the account does not have it.
    """
    state = party.history.state
    if state is None:
        raise AgentRefused("the agent is not enrolled yet; enrol first")
    instruction = CollateralInstruction.parse(
        {
            "institution": party.settings.institution,
            "operator": party.settings.trust.operator,
            "sequence": str(state.public.instructions + 1),
            "entry": party.history.head,
            "action": action,
            "asset": asset,
            "quantity": str(quantity),
        }
    )
    signed = instruction.signed_by(party.identity)
    outbox.keep(signed)
    outbox.send(signed)
