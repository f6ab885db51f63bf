"""What a maturity has to say, by the schedule and the prices that it names: for operator, agent and readers. Pure."""

from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.maturity_documents import Maturity


def check_maturity(maturity: Maturity, schedule: CollateralSchedule, market: Market) -> None:
    """Make sure that an asset had matured by its prices, and that what came in is what is due.

    Args:
        maturity: the document.
        schedule: of the account's terms.
        market: prices of the tick that it names.

    Raises:
        Refused: it had not, or something else came in; `.field` names which.
    """
    dated = schedule.dated.get(maturity.asset)
    if dated is None:
        raise Refused(f"{maturity.asset} has no end in the schedule", "asset")
    if not dated.has_matured(market.as_of):
        raise Refused(f"{maturity.asset} had not matured by the prices of tick {maturity.price_sequence}", "tick")
    wanted = (dated.pays, maturity.quantity * dated.quantity)
    if (maturity.cash, maturity.paid) != wanted:
        raise Refused(f"{maturity.quantity} units of {maturity.asset} pay {wanted[1]} units of {wanted[0]}", "paid")
