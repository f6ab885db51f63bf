"""Instructions about free collateral: post it, or withdraw it. Institution only."""

from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.documents import CollateralInstruction
from atomic_margin.service.protocol.signing import SignedDocument


def instruction(party: Party, state: Account, action: str, asset: str, quantity: int) -> SignedDocument:
    """Return an instruction, signed and not sent.

    Args:
        party: whose collateral.
        state: its account, followed to the last entry.
        action: `post` or `withdraw`.
        asset: of the collateral schedule.
        quantity: in its smallest unit.

    Raises:
        DocumentError: it is no instruction, by field.
    """
    said = {
        "institution": party.settings.institution,
        "operator": party.settings.trust.operator,
        "sequence": str(state.public.instructions + 1),
        "entry": party.history.head,
        "action": action,
        "asset": asset,
        "quantity": str(quantity),
    }
    return CollateralInstruction.parse(said).signed_by(party.identity)
