"""What the agent checks of disputes: whether an entry can still have what it signed, and what lets one lapse."""

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.disputes import Dispute, DisputeLapse, DisputeWithdrawal
from atomic_margin.service.protocol.signing import SignedDocument


def obstacle_of_dispute(signed: SignedDocument, public: PublicState) -> str | None:
    """Return why no entry can have a dispute or its withdrawal any more, None if one can."""
    disputes = public.disputes
    if signed.type == Dispute.TYPE:
        number, last = Dispute.parse(signed.body).sequence, 0 if disputes is None else disputes.sequence
        return None if number > last else f"another dispute has its number, {number}"
    named = DisputeWithdrawal.parse(signed.body).dispute
    opened = None if disputes is None or disputes.open is None else disputes.open.dispute
    return None if named == opened else "the dispute is over"


def check_lapse(chain: MarketChain, lapse: DisputeLapse) -> None:
    """Make sure that prices have the times that an operator says when it lets a dispute lapse.

    Raises:
        EntryIllegal: they have others.
        AgentRefused, RemoteError: one of the two ticks is not kept here, and the operator does not show it.
    """
    for what, named in (("begins", lapse.begins), ("ends", lapse.ends)):
        priced_at = instant_text(chain.market_of(named.price_sequence, named.tick).as_of)
        if named.priced_at != priced_at:
            raise EntryIllegal(f"the dispute {what} at prices of {priced_at}, the lapse says {named.priced_at}")
