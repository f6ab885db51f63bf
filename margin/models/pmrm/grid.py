"""Option values under the scenarios of `pmrm`, one unit of each instrument: steps 1 to 3 of the specification.

For the reference, which weighs them with positions, and for `rows`, which turns them into margin rows.
"""

from decimal import Decimal

import numpy as np

from atomic_margin.margin.market import elementary
from atomic_margin.margin.market.pricing import Floats, black76
from atomic_margin.margin.models.pmrm.cases import Feed, PmrmMarket
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters
from atomic_margin.margin.models.portfolio_margin.positions import Legs, floats
from atomic_margin.margin.models.portfolio_margin.shocks import term_shocks


def price_grid(legs: Legs, market: PmrmMarket, parameters: PmrmParameters) -> Floats:
    """Return (R + 3, n) values, undiscounted: under every scenario, then now, then under the two basis moves."""
    p = parameters.numbers()
    feeds = expiry_feeds(legs, market)
    # Step 2: volatility multipliers, (E,) each.
    m = term_shocks(legs, p["short_term_power"], p["long_term_power"], p["dte_floor_seconds"])
    shocks = np.stack([np.maximum(0.0, 1 - p["vol_range_down"] * m), np.ones_like(m), 1 + p["vol_range_up"] * m])

    # Step 1.
    x = floats([*(item.spot for item in parameters.scenarios), Decimal(1)])
    x = np.concatenate([x, [p["basis_spot_up"], p["basis_spot_down"]]])
    direction = np.array([*(item.vol for item in parameters.scenarios), 0, 0, 0])
    forward = np.outer(x, floats(feed.forward_variable for feed in feeds)) + floats(f.forward_fixed for f in feeds)
    return black76(
        forward[:, legs.group],
        legs.strike,
        legs.volatility * shocks[direction + 1][:, legs.group],
        legs.years[legs.group],
        legs.is_call,
    )


def static_discount(legs: Legs, market: PmrmMarket, parameters: PmrmParameters) -> Floats:
    """Return (E,) factors D of an expiry's shocked value where that is positive (step 3); in [0, 1]."""
    p = parameters.numbers()
    rates = floats(feed.rate for feed in expiry_feeds(legs, market))
    discount: Floats = p["base_static_discount"] * elementary.exp(
        -legs.years * (p["rate_mult_scale"] * np.maximum(rates, 0) + p["rate_add_scale"])
    )
    return discount


def expiry_feeds(legs: Legs, market: PmrmMarket) -> list[Feed]:
    """Return the feed row of each of the E expiries."""
    return [market.feeds[int(expiry)] for expiry in legs.expiries]
