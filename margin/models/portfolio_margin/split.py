"""How an institution spells its book in entries: the split into combinations, chosen without looking at prices.

For the institution only. Any split with the same net legs is conservative; a good one loses little. The loss of an
entry at a published *reference* valuation (one reference price, one volatility, no rates) does not depend on today's
prices, so a book needs no new split, and shows none, when they move. The split minimises, by linear programming, the
loss summed over all scenarios of both kinds of margin, and is rounded to whole lots.
"""

from decimal import Decimal

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.conservative import Instruments, linear_and_kinks
from atomic_margin.margin.models.portfolio_margin.listing import Listing
from atomic_margin.margin.models.portfolio_margin.model import RowModel
from atomic_margin.margin.rows.matrix import Integers

REFERENCE_VOLATILITY = Decimal("0.8")

_WHOLE = 1e-6
# Share of the reference price a leg counts for, in each scenario.
_LEG = 1e-3
_NODES = 2000


def split(listing: Listing, net: Integers, reference: RowModel, reference_price: Decimal) -> tuple[Integers, Integers]:
    """Return (J,) lots long and short of every instrument but the perpetual, with exactly these net legs.

    Args:
        listing: the instruments.
        net: (n,) net lots of each leg.
        reference: the model at the reference valuation.
        reference_price: of the underlying there, USD.
    """
    count = len(net)
    plain = np.zeros(len(listing.names), dtype=np.int64)
    plain[:count] = net
    combos = np.flatnonzero(np.abs(listing.legs).sum(axis=1) > 1)
    if not combos.size or not net.any():
        return np.maximum(plain, 0), np.maximum(-plain, 0)
    columns = np.flatnonzero(~listing.is_perpetual)
    legs = listing.legs[columns]
    cost = split_costs(listing, reference, reference_price)[:, columns].reshape(-1)
    equations = np.concatenate([legs, -legs]).T
    most = np.tile(listing.most[columns], 2)
    found = linprog(cost, A_eq=equations, b_eq=net, bounds=np.column_stack([np.zeros(len(most)), most]), method="highs")
    x = found.x if found.status == 0 else None
    if x is not None and np.abs(x - np.round(x)).max() > _WHOLE:
        whole = milp(
            cost,
            constraints=LinearConstraint(equations, net, net),
            bounds=Bounds(0, most),
            integrality=np.ones(len(most)),
            options={"node_limit": _NODES, "mip_rel_gap": 1e-3},
        )
        x = whole.x if whole.x is not None else x
    if x is None:
        return np.maximum(plain, 0), np.maximum(-plain, 0)
    # Whole combinations as found (a fraction of one is dropped), and single legs for whatever is left.
    long, short = (np.zeros(len(listing.names), dtype=np.int64) for _ in range(2))
    sides = np.floor(x + _WHOLE).astype(np.int64).reshape(2, -1)
    long[columns], short[columns] = sides
    long[:count] = short[:count] = 0
    rest = net - listing.legs.T @ (long - short)
    long[:count], short[:count] = np.maximum(rest, 0), np.maximum(-rest, 0)
    if (long > listing.most).any() or (short > listing.most).any():
        return np.maximum(plain, 0), np.maximum(-plain, 0)
    return long, short


def rounded_price(price: Decimal) -> Decimal:
    """Return a price rounded to two significant digits: the reference price where none is published."""
    return price.quantize(Decimal(1).scaleb(price.adjusted() - 1))


def split_costs(listing: Listing, reference: RowModel, reference_price: Decimal) -> Floats:
    """Return (2, J): what one lot of each instrument, long and short, loses at the reference valuation, USD.

    Legs count a little too: where a feed is of low confidence, each leg of each entry is charged.
    """
    lots = np.array([float(lot) for lot in listing.lots])
    costs = _LEG * float(reference_price) * len(reference.labels) * np.tile(np.abs(listing.legs).sum(axis=1), (2, 1))
    instruments = Instruments.of(reference, listing)
    for kind in KINDS:
        _, long, short = linear_and_kinks(reference, kind, instruments)
        costs -= np.stack([long.sum(axis=0), short.sum(axis=0)])
    scaled: Floats = costs * lots
    return scaled
