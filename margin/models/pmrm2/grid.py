"""Option values under the scenarios of `pmrm2`, one unit of each instrument, and the two-sided static discount.

For the reference, which weighs them with positions, and for `rows`, which turns them into margin rows.
"""

from decimal import Decimal

import numpy as np

from atomic_margin.margin.errors import UnpricedAsset
from atomic_margin.margin.market import elementary
from atomic_margin.margin.market.pricing import Floats, black76
from atomic_margin.margin.models.pmrm2.cases import (
    OptionFeed,
    Pmrm2Ledger,
    Pmrm2Market,
    Pmrm2Parameters,
    SkewShock,
)
from atomic_margin.margin.models.portfolio_margin.positions import Legs, floats
from atomic_margin.margin.models.portfolio_margin.shocks import term_shocks

SETTLEMENT_SECONDS = 1800
_DIRECTIONS = ("down", "none", "up", "linear", "abs")
_LARGEST_EXPONENT = 700.0
# With a k* of 0 the caps are reached at once.
_LEAST_K_STAR = 1e-12


def spot_moves(parameters: Pmrm2Parameters) -> Floats:
    """Return (R,) spot multipliers; skew scenarios are at unchanged spot."""
    return floats(Decimal(1) if item.is_skew else item.spot_shock for item in parameters.scenarios)


def price_grid(legs: Legs, market: Pmrm2Market, parameters: Pmrm2Parameters) -> Floats:
    """Return (R + 3, n) values, discounted at the floored rate: every scenario, now, then the two basis moves."""
    feeds = expiry_feeds(legs, market)
    basis = parameters.basis_contingency
    moves = np.concatenate(
        [spot_moves(parameters), [1.0, float(basis.scenario_spot_up), float(basis.scenario_spot_down)]]
    )
    directions = [item.vol_shock_direction for item in parameters.scenarios] + ["none"] * 3
    forward = floats(feed.forward for feed in feeds)
    moved = _moved(legs, market, forward, moves)
    volatility = _volatilities(legs, forward, parameters)[[_DIRECTIONS.index(item) for item in directions]]
    price = black76(moved[:, legs.group], legs.strike, volatility, legs.years[legs.group], legs.is_call)
    values: Floats = price * elementary.exp(-_rates(feeds) * legs.years)[legs.group]
    return values


def _moved(legs: Legs, market: Pmrm2Market, forward: Floats, moves: Floats) -> Floats:
    """Return (R, E) forwards under spot multipliers, of what is still to be observed."""
    if market.fixed is not None:
        fixed = floats(market.fixed[expiry] for expiry in legs.expiries)
    else:
        # In the last half hour the settlement average is partly observed, and only the rest moves with spot.
        fixed = forward * (1 - np.minimum(floats(legs.expiries) / SETTLEMENT_SECONDS, 1.0))
    moved: Floats = fixed + np.outer(moves, forward - fixed)
    return moved


def static_factors(legs: Legs, market: Pmrm2Market, parameters: Pmrm2Parameters) -> tuple[Floats, Floats]:
    """Return (E,) factors of an expiry's shocked value where that is positive, and where it is negative."""
    margin, feeds = parameters.margin, expiry_feeds(legs, market)
    rates, years = _rates(feeds), legs.years
    positive: Floats = float(margin.base_static_discount) * elementary.exp(
        -years * (rates * float(margin.long_rate_multscale) + float(margin.long_rate_addscale))
    )
    # Both exponents are cut off long before they could overflow; a shocked value so far discounted is nothing anyway.
    growth = years * (rates * float(margin.short_rate_multscale) + float(margin.short_rate_addscale))
    short = float(margin.base_static_discount_neg) * elementary.exp(np.minimum(growth, _LARGEST_EXPONENT))
    undiscounted = elementary.exp(np.minimum(rates * years, _LARGEST_EXPONENT))
    negative: Floats = np.minimum(undiscounted, short)
    return positive, negative


def collateral_worth(market: Pmrm2Market, ledger: Pmrm2Ledger) -> Floats:
    """Return what each asset is worth before haircut, in the currency of cash.

    Raises:
        UnpricedAsset: there are more or fewer amounts than quotes.
    """
    if len(ledger.collaterals) != len(market.collaterals):
        raise UnpricedAsset(
            "collaterals", f"{len(ledger.collaterals)} amounts for {len(market.collaterals)} quotes; give one for each"
        )
    worth: Floats = floats(ledger.collaterals) * floats(item.price for item in market.collaterals)
    return worth / float(market.stable_price)


def expiry_feeds(legs: Legs, market: Pmrm2Market) -> list[OptionFeed]:
    """Return the feed of each of the E expiries."""
    return [market.feeds[expiry] for expiry in legs.expiries]


def _volatilities(legs: Legs, forward: Floats, parameters: Pmrm2Parameters) -> Floats:
    """Return (5, n) shocked volatilities, in the order of ``_DIRECTIONS``."""
    shock = parameters.vol_shock
    powers = float(shock.shorttermpower), float(shock.longtermpower)
    m = term_shocks(legs, *powers, 86400 * float(shock.dte_floor))[legs.group]
    k = elementary.log(legs.strike / forward[legs.group])
    root = np.sqrt(legs.years)[legs.group]
    skew = parameters.skew_shock
    multiplied: Floats = legs.volatility * np.stack(
        [
            np.maximum(0.0, 1 - float(shock.volrangedown) * m),
            np.ones_like(m),
            1 + float(shock.volrangeup) * m,
            _skew(k, root, skew, float(skew.linear_cbase), float(skew.linear_scale_cap)),
            _skew(np.abs(k), root, skew, float(skew.abs_cbase), float(skew.abs_scale_cap)),
        ]
    )
    up = _DIRECTIONS.index("up")
    multiplied[up] = np.maximum(float(shock.min_vol_eval_shocked), multiplied[up])
    return multiplied


def _skew(k: Floats, root: Floats, skew: SkewShock, base: float, scale_cap: float) -> Floats:
    """Return (n,) volatility multipliers at log moneyness ``k`` and square root of years ``root``."""
    cap = base * root + scale_cap
    width = float(skew.vol_param_static) + root * float(skew.vol_param_scale)
    k_star = np.maximum(max(float(skew.min_k_star), _LEAST_K_STAR), root * float(skew.min_width_scale) * width)
    move = k * cap / k_star
    clamped = np.where(k > 0, np.minimum(move, cap), np.where(k < 0, np.maximum(move, -cap), 0.0))
    multiplier: Floats = np.maximum(0.0, 1 + clamped)
    return multiplier


def _rates(feeds: list[OptionFeed]) -> Floats:
    rates: Floats = np.maximum(floats(feed.rate for feed in feeds), 0.0)
    return rates
