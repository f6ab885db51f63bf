"""Generated cases of `pmrm`, and the parameter set that goes with them.

For measurements and tests; see `portfolio_margin.books`.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from atomic_margin.margin.models.pmrm.cases import PmrmCase, parse_cases
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters, parse_parameters
from atomic_margin.margin.models.portfolio_margin.books import (
    AMOUNTS,
    DAY,
    EXPIRIES,
    confidence_of,
    drawing,
    instruments,
)
from atomic_margin.margin.models.portfolio_margin.hedged import hedged_book

_ONE = 10**18
_GRID = [{"spot": f"{spot / 100:.2f}", "vol": vol} for spot in range(115, 84, -5) for vol in (1, 0, -1)]
# The set that the outside cases of `pmrm` are computed with.
_PMRM: Mapping[str, Any] = {
    "scenarios": _GRID,
    "short_term_power": "0.3",
    "long_term_power": "0.13",
    "dte_floor_seconds": DAY,
    "basis_spot_up": "1.05",
    "basis_spot_down": "0.95",
    "base_static_discount": "0.95",
    "vol_range_up": "0.45",
    "vol_range_down": "0.3",
    "basis_add": "0.25",
    "basis_mult": "0.01",
    "base_percent": "0.02",
    "perp_percent": "0.02",
    "option_percent": "0.01",
    "conf_threshold": "0.6",
    "conf_margin": "0.5",
    "peg_loss_threshold": "0.98",
    "peg_loss_factor": "2",
    "im_factor": "1.3",
    "rate_mult_scale": "4",
    "rate_add_scale": "0.05",
}


def pmrm_parameters() -> PmrmParameters:
    """Return the parameter set of the generated `pmrm` cases."""
    return parse_parameters({"set": dict(_PMRM)}, "set")


def pmrm_case(number: int, seed: int = 0) -> PmrmCase:
    """Return generated `pmrm` case ``number``."""
    draw = drawing("pmrm", seed, number)
    expiries = draw.sample(EXPIRIES, 4)
    keys = instruments(draw, expiries, 16)
    confidence = {expiry: confidence_of(draw) for expiry in expiries}
    scenario = {
        "OptionExpiries": [key[0] for key in keys],
        "OptionStrikes": [_fixed(key[1]) for key in keys],
        "OptionIsCall": [key[2] for key in keys],
        "OptionAmounts": [draw.choice([-1, 1]) * _fixed(draw.choice(AMOUNTS)) for _ in keys],
        "OptionVols": [_fixed(f"{draw.uniform(0.2, 2):.3f}") for _ in keys],
        "OptionVolConfidences": [_fixed(confidence[key[0]]) for key in keys],
        "FeedExpiries": expiries,
        "ForwardsVariable": [_fixed(f"{draw.uniform(1350, 1650):.2f}") for _ in expiries],
        "ForwardsFixed": [_fixed(700) if expiry < 1800 else 0 for expiry in expiries],
        "ForwardConfidences": [_fixed(confidence_of(draw)) for _ in expiries],
        "Rates": [_fixed(draw.choice(["0", "0.05", "-0.03", "0.2"])) for _ in expiries],
        "RateConfidences": [_ONE] * len(expiries),
        "Cash": _fixed(draw.randint(-20000, 50000)),
        "Perps": _fixed(draw.choice(["0", "0", f"{draw.uniform(-30, 30):.2f}"])),
        "PerpPrice": _fixed(1505),
        "PerpConfidence": _fixed(confidence_of(draw)),
        "UnrealisedPerpPNL": _fixed(draw.randint(-300, 300)),
        "UnrealisedFunding": _fixed(draw.randint(-50, 50)),
        "Base": _fixed(draw.choice([0, draw.randint(1, 20)])),
        "SpotPrice": _fixed(f"{draw.uniform(1400, 1600):.2f}"),
        "SpotConfidence": _fixed(confidence_of(draw)),
        "StablePrice": _fixed(draw.choice(["1", "1", "0.98", "0.93"])),
    }
    return parse_cases({"case": {"Scenario": scenario}})["case"]


def pmrm_hedged_case(number: int, seed: int = 0) -> PmrmCase:
    """Return the case of a market maker, delta and vega flat, of 10 m to 4.5 bn USD gross."""
    book = hedged_book("pmrm", seed, number)
    keys, expiries = sorted(book.volatilities), sorted(book.forwards)
    scenario = {
        "OptionExpiries": [key[0] for key in keys],
        "OptionStrikes": [_fixed(key[1]) for key in keys],
        "OptionIsCall": [key[2] for key in keys],
        "OptionAmounts": [_fixed(book.amounts[key]) for key in keys],
        "OptionVols": [_fixed(str(book.volatilities[key])) for key in keys],
        "OptionVolConfidences": [_ONE] * len(keys),
        "FeedExpiries": expiries,
        "ForwardsVariable": [_fixed(str(book.forwards[expiry])) for expiry in expiries],
        "ForwardsFixed": [0] * len(expiries),
        "ForwardConfidences": [_ONE] * len(expiries),
        "Rates": [_fixed("0.04")] * len(expiries),
        "RateConfidences": [_ONE] * len(expiries),
        "Cash": 0,
        "Perps": _fixed(book.perpetuals),
        "PerpPrice": _fixed(str(book.spot)),
        "PerpConfidence": _ONE,
        "UnrealisedPerpPNL": 0,
        "UnrealisedFunding": 0,
        "Base": 0,
        "SpotPrice": _fixed(str(book.spot)),
        "SpotConfidence": _ONE,
        "StablePrice": _ONE,
    }
    return parse_cases({"case": {"Scenario": scenario}})["case"]


def _fixed(value: int | str) -> int:
    """Return a decimal as the case format of `pmrm` writes it."""
    return int(Fraction(Decimal(value)) * _ONE)
