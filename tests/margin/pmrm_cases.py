"""Parameter sets and cases of `pmrm`: made by hand, and at random."""

import random
from fractions import Fraction
from typing import Any

from atomic_margin.margin.models.pmrm import (
    PmrmCase,
    PmrmMargin,
    parse_cases,
    parse_parameters,
    pmrm_margin,
)

Json = dict[str, Any]
UNIT = 10**18
# The set `vectors` and the set `mainnet`, from the specification, so that the tests without outside files have one.
COMMON: Json = {
    "short_term_power": "0.3",
    "long_term_power": "0.13",
    "dte_floor_seconds": 86400,
    "basis_spot_up": "1.05",
    "basis_spot_down": "0.95",
    "base_static_discount": "0.95",
    "vol_range_down": "0.3",
}
GRID = [{"spot": f"{spot / 100:.2f}", "vol": vol} for spot in range(115, 84, -5) for vol in (1, 0, -1)]
SETS: dict[str, Json] = {
    "vectors": COMMON
    | {"scenarios": GRID, "vol_range_up": "0.45", "basis_add": "0.25", "basis_mult": "0.01", "base_percent": "0.02"}
    | {"perp_percent": "0.02", "option_percent": "0.01", "conf_threshold": "0.6", "conf_margin": "0.5"}
    | {"peg_loss_threshold": "0.98", "peg_loss_factor": "2", "im_factor": "1.3"}
    | {"rate_mult_scale": "4", "rate_add_scale": "0.05"},
    "mainnet": COMMON
    | {"scenarios": [{"spot": "1.20", "vol": 1}, *GRID, {"spot": "0.80", "vol": 1}], "vol_range_up": "0.6"}
    | {"basis_add": "1.0", "basis_mult": "1.2", "base_percent": "0.03", "perp_percent": "0.03"}
    | {"option_percent": "0.02", "conf_threshold": "0.55", "conf_margin": "1", "peg_loss_threshold": "0.99"}
    | {"peg_loss_factor": "4", "im_factor": "1.25", "rate_mult_scale": "1", "rate_add_scale": "0.12"},
}

# Names of the outside vectors for figures of the reference.
FIELDS = {
    "PortfolioMTM": "mark_to_market",
    "MinSpan": "min_span",
    "ForwardContingency": "forward_contingency",
    "PerpContingency": "perp_contingency",
    "BaseContingency": "base_contingency",
    "OptionContingency": "option_contingency",
    "OracleContingency": "oracle_contingency",
    "LossFactor": "loss_factor",
    "InitialMarginHand": "initial_excess",
    "MaintenanceMarginHand": "maintenance_excess",
}


def whole(value: float | str) -> int:
    """A decimal as the case format writes it."""
    return int(Fraction(str(value)) * UNIT)


def case_of(
    options: list[tuple[int, float, int, float, float]], feeds: list[tuple[int, float, float]], **more: Any
) -> Json:
    """A case from (expiry, strike, is call, volatility, amount) and (expiry, forward, rate); the rest in ``more``."""
    return {
        "OptionExpiries": [row[0] for row in options],
        "OptionStrikes": [whole(row[1]) for row in options],
        "OptionIsCall": [row[2] for row in options],
        "OptionVols": [whole(row[3]) for row in options],
        "OptionAmounts": [whole(row[4]) for row in options],
        "OptionVolConfidences": [UNIT] * len(options),
        "FeedExpiries": [row[0] for row in feeds],
        "ForwardsVariable": [whole(row[1]) for row in feeds],
        "ForwardsFixed": [0] * len(feeds),
        "ForwardConfidences": [UNIT] * len(feeds),
        "Rates": [whole(row[2]) for row in feeds],
        "RateConfidences": [UNIT] * len(feeds),
        "Cash": 0,
        "Perps": 0,
        "PerpPrice": whole(1505),
        "PerpConfidence": UNIT,
        "UnrealisedPerpPNL": 0,
        "UnrealisedFunding": 0,
        "Base": 0,
        "SpotPrice": whole(1500),
        "SpotConfidence": UNIT,
        "StablePrice": UNIT,
    } | more


def parsed(scenario: Json) -> PmrmCase:
    return parse_cases({"case": {"Scenario": scenario}})["case"]


def margin(scenario: Json, name: str = "vectors") -> PmrmMargin:
    return pmrm_margin(parsed(scenario), parse_parameters(SETS, name))


def random_case(rng: random.Random) -> Json:
    def fixed(low: float, high: float) -> int:
        return whole(round(rng.uniform(low, high), 9))

    expiries = rng.sample([60, 900, 43200, 86400, 500400, 2591999, 2592000, 2592001, 7758000, 31536000, 94608000], 4)
    n = rng.randint(0, 12)
    rows = [
        (rng.choice(expiries), whole(rng.choice([500, 1200, 1500, 1500, 1900, 4000])), rng.randint(0, 1))
        for _ in range(n)
    ]
    vols = {row: fixed(0, 2.5) for row in rows}
    confidence = {e: rng.choice([UNIT, UNIT, whole("0.6"), fixed(0, 1)]) for e in expiries}
    feeds = [
        (
            e,
            fixed(0, 1600) if e < 1800 else fixed(1200, 1900),
            fixed(1, 1600) if e < 1800 else 0,
            rng.choice([UNIT, fixed(0, 1)]),
            fixed(-0.1, 0.3),
            rng.choice([UNIT, whole("0.55"), fixed(0, 1)]),
        )
        for e in expiries
    ]
    feeds += rng.sample(feeds, 2)
    return case_of(
        [],
        [],
        OptionExpiries=[row[0] for row in rows],
        OptionStrikes=[row[1] for row in rows],
        OptionIsCall=[row[2] for row in rows],
        OptionVols=[vols[row] for row in rows],
        OptionAmounts=[rng.choice([UNIT, -UNIT, 0, fixed(-20, 20)]) for _ in rows],
        OptionVolConfidences=[confidence[row[0]] for row in rows],
        FeedExpiries=[feed[0] for feed in feeds],
        ForwardsVariable=[feed[1] for feed in feeds],
        ForwardsFixed=[feed[2] for feed in feeds],
        ForwardConfidences=[feed[3] for feed in feeds],
        Rates=[feed[4] for feed in feeds],
        RateConfidences=[feed[5] for feed in feeds],
        Cash=fixed(-50000, 50000),
        Perps=rng.choice([0, fixed(-30, 30)]),
        PerpPrice=fixed(1400, 1600),
        PerpConfidence=rng.choice([UNIT, fixed(0, 1)]),
        UnrealisedPerpPNL=fixed(-500, 500),
        UnrealisedFunding=fixed(-500, 500),
        Base=rng.choice([0, fixed(0, 20)]),
        SpotPrice=fixed(1300, 1700),
        SpotConfidence=rng.choice([UNIT, fixed(0, 1)]),
        StablePrice=rng.choice([UNIT, whole("0.98"), fixed(0.8, 1.02)]),
    )
