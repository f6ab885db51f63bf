"""The book's margin in plain floating point, straight from positions: the figure the integer matrices are held against.

For the institution and for tests. It never touches digit columns: scenario profit and loss comes from signed net lots,
charges from gross lots, as a risk desk would compute them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from atomic_margin.margin.collateral import CollateralSchedule, collateral_values
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.moves import lots_of
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.margin.models.scan.weights import revalue
from atomic_margin.margin.models.surplus import RowSurplus


@dataclass(frozen=True)
class TrueSurplus(RowSurplus):
    """Surplus of an account in every row, and what it is made of, USD.

    Attributes:
        profit: profit and loss of the book since it was traded, as of now.
        maintenance_requirement: largest scenario loss plus charges, without profit and loss so far; at least 0.
        initial_requirement: likewise for initial margin.
    """

    profit: float
    maintenance_requirement: float
    initial_requirement: float


def true_surplus(
    model: ScanModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    holdings: Mapping[str, int],
) -> TrueSurplus:
    """Return the surplus of a book with ``holdings`` posted (quantities in smallest units), unrounded.

    Raises:
        DocumentError: the documents do not fit together.
    """
    long, short = lots_of(portfolio, universe)
    values = revalue(model, universe, market)
    collateral = collateral_values(schedule, model.spot_moves, market, holdings)
    net = (long - short) * values.lot
    profit = float(values.profit @ net) + float(portfolio.cash_against(universe))
    charges = float(long @ values.charge_long + short @ values.charge_short)
    scan = values.coverage * ((values.shocked - values.now) @ net) - charges
    factor = float(model.initial_factor)
    return TrueSurplus(
        labels=model.labels,
        profit=profit,
        maintenance=scan + profit + collateral.maintenance,
        initial=factor * scan + profit + collateral.initial,
        maintenance_requirement=max(0.0, -float(scan.min())),
        initial_requirement=max(0.0, -factor * float(scan.min())),
    )
