"""What a sale of segregated collateral has to say, by its rules and the prices of its tick. Pure.

That it is the next stage, of what is held, and not beyond what is wanted, is in the account machine.
"""

from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import SaleRefused
from atomic_margin.service.protocol.account.default_documents import Sale
from atomic_margin.service.protocol.waterfall import least_proceeds, value_usd


def check_sale(sale: Sale, market: Market, schedule: CollateralSchedule) -> None:
    """Make sure that a sale states the limit and the value that its rules and its tick give, and keeps the limit.

    Raises:
        SaleRefused: it does not; or the tick does not price what is sold.
    """
    try:
        limit = least_proceeds(sale.rules, schedule, market, sale.asset, sale.quantity)
        usd = value_usd(sale.rules, schedule, market, sale.proceeds)
    except MarginError as error:
        raise SaleRefused(str(error), "asset") from error
    if sale.limit != limit:
        raise SaleRefused(f"the limit is {limit} by the rules and tick {sale.price_sequence}", "limit")
    if sale.proceeds < limit:
        raise SaleRefused(
            f"it brings in {sale.proceeds} {sale.rules.cash}, and {limit} is the least at tick {sale.price_sequence}: "
            "find a better price, or wait for the next tick",
            "proceeds",
        )
    if sale.proceeds_usd != usd:
        raise SaleRefused(f"what it brings in is worth {usd} USD at tick {sale.price_sequence}", "proceeds_usd")
