"""Generated books that gaps are measured on: cases of `pmrm` and `pmrm2`, and portfolios of a universe.

For measurements and tests. Case k of a generator depends on k and the seed alone. Cases have up to 16 options over up
to four expiries, perpetuals, collateral, feeds of low confidence and a broken peg now and then; portfolios are those of
`expected_shortfall.sample_books`.
"""

import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.expected_shortfall import sample_books
from atomic_margin.margin.models.pmrm import PmrmCase, PmrmParameters, parse_cases, parse_parameters
from atomic_margin.margin.models.pmrm2 import Pmrm2Case

_ONE = 10**18
_DAY = 86400
_GRID = [{"spot": f"{spot / 100:.2f}", "vol": vol} for spot in range(115, 84, -5) for vol in (1, 0, -1)]
# The set that the outside cases of `pmrm` are computed with.
_PMRM: Mapping[str, Any] = {
    "scenarios": _GRID,
    "short_term_power": "0.3",
    "long_term_power": "0.13",
    "dte_floor_seconds": _DAY,
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
# Invented for this project: two outer scenarios that count in part, and both skew scenarios.
_PMRM2: Mapping[str, Any] = {
    "Scenarios": [
        {"SpotShock": shock, "VolShockDirection": direction, "DampeningFactor": "1"}
        for shock in ("1.18", "1.09", "1", "0.91", "0.82")
        for direction in ("Up", "None", "Down")
    ]
    + [
        {"SpotShock": "0.34", "VolShockDirection": "Up", "DampeningFactor": "0.21"},
        {"SpotShock": "3", "VolShockDirection": "Up", "DampeningFactor": "0.07"},
        {"SpotShock": "1", "VolShockDirection": "Linear", "DampeningFactor": "1"},
        {"SpotShock": "1", "VolShockDirection": "Abs", "DampeningFactor": "0.9"},
    ],
    "SkewShock": {
        "LINEAR_SCALE_CAP": "0.03",
        "LINEAR_CBASE": "0.2",
        "ABS_SCALE_CAP": "0.05",
        "ABS_CBASE": "0.3",
        "MIN_K_STAR": "0.01",
        "MIN_WIDTH_SCALE": "4",
        "VOL_PARAM_STATIC": "0.8",
        "VOL_PARAM_SCALE": "-0.05",
    },
    "VolShock": {
        "VOLRANGEUP": "0.6",
        "VOLRANGEDOWN": "0.3",
        "MIN_VOL_EVAL_SHOCKED": "0.4",
        "SHORTTERMPOWER": "0.3",
        "LONGTERMPOWER": "0.13",
        "DTE_FLOOR": "1",
    },
    "Margin": {
        "MM_LOSS_FACTOR": "0.8",
        "IM_LOSS_FACTOR": "1",
        "SHORT_RATE_MULTSCALE": "1",
        "LONG_RATE_MULTSCALE": "4",
        "SHORT_RATE_ADDSCALE": "0.02",
        "LONG_RATE_ADDSCALE": "0.05",
        "BASE_STATIC_DISCOUNT": "0.95",
        "BASE_STATIC_DISCOUNT_NEG": "0.97",
    },
    "BasisContingency": {
        "SCENARIO_SPOT_UP": "1.05",
        "SCENARIO_SPOT_DOWN": "0.95",
        "BASIS_CONT_ADD_FACTOR": "0.25",
        "BASIS_CONT_MULT_FACTOR": "0.01",
    },
    "OtherContingency": {
        "PEG_LOSS_THRESHOLD": "0.98",
        "PEG_LOSS_FACTOR": "2",
        "CONF_THRESHOLD": "0.6",
        "CONF_MARGIN": "0.5",
        "MM_PERP_PERCENT": "0.02",
        "IM_PERP_PERCENT": "0.03",
        "MM_OPTION_PERCENT": "0.01",
        "IM_OPTION_PERCENT": "0.015",
    },
}
_EXPIRIES = [900, _DAY // 2, _DAY, 7 * _DAY, 30 * _DAY, 31 * _DAY, 90 * _DAY, 365 * _DAY]
_STRIKES = [500, 1200, 1400, 1500, 1600, 1900, 4000]
_AMOUNTS = ["1", "2", "3", "0.5", "10", "47.25"]


def pmrm_parameters() -> PmrmParameters:
    """Return the parameter set of the generated `pmrm` cases."""
    return parse_parameters({"set": dict(_PMRM)}, "set")


def pmrm_case(number: int, seed: int = 0) -> PmrmCase:
    """Return generated `pmrm` case ``number``."""
    draw = _drawing("pmrm", seed, number)
    expiries = draw.sample(_EXPIRIES, 4)
    keys = _instruments(draw, expiries, 16)
    confidence = {expiry: _confidence(draw) for expiry in expiries}
    scenario = {
        "OptionExpiries": [key[0] for key in keys],
        "OptionStrikes": [_fixed(key[1]) for key in keys],
        "OptionIsCall": [key[2] for key in keys],
        "OptionAmounts": [draw.choice([-1, 1]) * _fixed(draw.choice(_AMOUNTS)) for _ in keys],
        "OptionVols": [_fixed(f"{draw.uniform(0.2, 2):.3f}") for _ in keys],
        "OptionVolConfidences": [_fixed(confidence[key[0]]) for key in keys],
        "FeedExpiries": expiries,
        "ForwardsVariable": [_fixed(f"{draw.uniform(1350, 1650):.2f}") for _ in expiries],
        "ForwardsFixed": [_fixed(700) if expiry < 1800 else 0 for expiry in expiries],
        "ForwardConfidences": [_fixed(_confidence(draw)) for _ in expiries],
        "Rates": [_fixed(draw.choice(["0", "0.05", "-0.03", "0.2"])) for _ in expiries],
        "RateConfidences": [_ONE] * len(expiries),
        "Cash": _fixed(draw.randint(-20000, 50000)),
        "Perps": _fixed(draw.choice(["0", "0", f"{draw.uniform(-30, 30):.2f}"])),
        "PerpPrice": _fixed(1505),
        "PerpConfidence": _fixed(_confidence(draw)),
        "UnrealisedPerpPNL": _fixed(draw.randint(-300, 300)),
        "UnrealisedFunding": _fixed(draw.randint(-50, 50)),
        "Base": _fixed(draw.choice([0, draw.randint(1, 20)])),
        "SpotPrice": _fixed(f"{draw.uniform(1400, 1600):.2f}"),
        "SpotConfidence": _fixed(_confidence(draw)),
        "StablePrice": _fixed(draw.choice(["1", "1", "0.98", "0.93"])),
    }
    return parse_cases({"case": {"Scenario": scenario}})["case"]


def pmrm2_case(number: int, seed: int = 0) -> Pmrm2Case:
    """Return generated `pmrm2` case ``number``."""
    return Pmrm2Case.parse(pmrm2_document(number, seed))


def pmrm2_document(number: int, seed: int = 0) -> dict[str, Any]:
    """Return the same as a JSON object, parameters included."""
    draw = _drawing("pmrm2", seed, number)
    expiries = draw.sample(_EXPIRIES, 3)
    scenario = {
        "Cash": draw.randint(-20000, 50000),
        "Collaterals": [
            {
                "Name": name,
                "Amount": f"{draw.uniform(0, 20):.3f}",
                "Price": f"{draw.uniform(0.5, 1600):.2f}",
                "Confidence": _confidence(draw),
                "IsRiskCancelling": draw.randint(0, 1),
                "IMHaircut": "0.1",
                "MMHaircut": "0.05",
            }
            for name in ("one", "two", "three")[: draw.randint(0, 3)]
        ],
        "SpotPrice": f"{draw.uniform(1400, 1600):.2f}",
        "SpotConfidence": _confidence(draw),
        "NumPerps": draw.choice(["0", "0", f"{draw.uniform(-30, 30):.2f}"]),
        "PerpPrice": "1505",
        "PerpConfidence": _confidence(draw),
        "UnrealisedPerpPNL": draw.randint(-500, 500),
        "UnrealisedFunding": draw.randint(-50, 50),
        "StablePrice": draw.choice(["1", "1", "0.95", "1.01"]),
        "Options": [
            {
                "Expiry": expiry,
                "Strike": strike,
                "IsCall": is_call,
                "MarkVol": f"{draw.uniform(0.2, 1.5):.3f}",
                "Amount": f"{draw.choice(['', '-'])}{draw.choice(_AMOUNTS)}",
            }
            for expiry, strike, is_call in _instruments(draw, expiries, 14)
        ],
        "OptionFeeds": [
            {
                "FeedExpiry": expiry,
                "Forward": f"{draw.uniform(1400, 1600):.2f}",
                "ForwardConfidence": _confidence(draw),
                "Rate": draw.choice(["0", "0.05", "-0.02", "0.3"]),
                "RateConfidence": "1",
                "OptionVolConfidences": _confidence(draw),
            }
            for expiry in expiries
        ],
    }
    return {"Scenario": scenario, "Parameters": dict(_PMRM2)}


def portfolios(universe: Universe, market: Market, count: int, seed: int = 0) -> Iterator[Portfolio]:
    """Yield generated books of a universe."""
    ids = [item.id for item in universe.instruments]
    for lots in sample_books(universe, market, count, seed):
        yield Portfolio.parse(
            {
                "format": "atomic-margin/portfolio/1",
                "positions": [
                    {"instrument": name, "side": "long" if held > 0 else "short", "lots": str(abs(held))}
                    for name, held in zip(ids, lots.tolist(), strict=True)
                    if held
                ],
            }
        )


def _drawing(model: str, seed: int, number: int) -> random.Random:
    return random.Random(f"{model} {seed} {number}")  # noqa: S311 - books to measure on, nothing secret


def _instruments(draw: random.Random, expiries: list[int], most: int) -> list[tuple[int, int, int]]:
    """Return up to ``most`` different (seconds to expiry, strike, is a call)."""
    return sorted(
        {(draw.choice(expiries), draw.choice(_STRIKES), draw.randint(0, 1)) for _ in range(draw.randint(1, most))}
    )


def _confidence(draw: random.Random) -> str:
    return draw.choice(["1", "1", "1", "0.6", f"{draw.random():.4f}"])


def _fixed(value: int | str) -> int:
    """Return a decimal as the case format of `pmrm` writes it."""
    return int(Fraction(Decimal(value)) * _ONE)
