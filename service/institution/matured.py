"""Hold the cash that came in for what matured against schedule and prices, as the agent follows its account."""

from atomic_margin.service.errors import Refused
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.maturities import check_maturity
from atomic_margin.service.protocol.terms import Terms


def check_paid(chain: MarketChain, terms: Terms, maturity: Maturity) -> None:
    """Make sure that an asset had matured by prices that the agent saw, and pays what came in.

    Raises:
        EntryIllegal: it had not, or pays something else.
        AgentRefused, RemoteError: the tick is not kept here, and the operator does not show it.
    """
    market = chain.market_of(maturity.price_sequence, maturity.tick)
    try:
        check_maturity(maturity, terms.schedule, market)
    except Refused as refusal:
        raise EntryIllegal(f"a maturity is not what schedule and prices say: {refusal}") from refusal
