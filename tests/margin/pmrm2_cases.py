"""Parameters and cases of `pmrm2`: made by hand, and at random."""

import random
from typing import Any

from atomic_margin.margin.models.pmrm2 import Pmrm2Case, Pmrm2Margin, pmrm2_margin

Json = dict[str, Any]

DAY = 86400
PARAMETERS: Json = {
    "Scenarios": [
        {"SpotShock": f"{spot / 100:.2f}", "VolShockDirection": direction, "DampeningFactor": 1}
        for spot in (118, 109, 100, 91, 82)
        for direction in ("Up", "None", "Down")
    ]
    + [
        {"SpotShock": "0.34", "VolShockDirection": "UP", "DampeningFactor": "0.21"},
        {"SpotShock": 3, "VolShockDirection": "up", "DampeningFactor": 0.069},
        {"SpotShock": "1", "VolShockDirection": "Linear", "DampeningFactor": "1"},
        {"SpotShock": "1", "VolShockDirection": "Abs", "DampeningFactor": "0.9"},
    ],
    "SkewShock": {"LINEAR_SCALE_CAP": "0.03", "LINEAR_CBASE": "0.2", "ABS_SCALE_CAP": "0.05", "ABS_CBASE": "0.3"}
    | {"MIN_K_STAR": "0.01", "MIN_WIDTH_SCALE": "4", "VOL_PARAM_STATIC": "0.8", "VOL_PARAM_SCALE": "-0.05"},
    "VolShock": {"VOLRANGEUP": "0.6", "VOLRANGEDOWN": "0.3", "MIN_VOL_EVAL_SHOCKED": "0.4"}
    | {"SHORTTERMPOWER": "0.3", "LONGTERMPOWER": "0.13", "DTE_FLOOR": "1"},
    "Margin": {"MM_LOSS_FACTOR": "0.8", "IM_LOSS_FACTOR": "1", "SHORT_RATE_MULTSCALE": "1", "LONG_RATE_MULTSCALE": "4"}
    | {"SHORT_RATE_ADDSCALE": "0.02", "LONG_RATE_ADDSCALE": "0.05"}
    | {"BASE_STATIC_DISCOUNT": "0.95", "BASE_STATIC_DISCOUNT_NEG": "0.97"},
    "BasisContingency": {"SCENARIO_SPOT_UP": "1.05", "SCENARIO_SPOT_DOWN": "0.95"}
    | {"BASIS_CONT_ADD_FACTOR": "0.25", "BASIS_CONT_MULT_FACTOR": "0.01"},
    "OtherContingency": {"PEG_LOSS_THRESHOLD": "0.98", "PEG_LOSS_FACTOR": "2", "CONF_THRESHOLD": "0.6"}
    | {"CONF_MARGIN": "0.5", "MM_PERP_PERCENT": "0.02", "IM_PERP_PERCENT": "0.03"}
    | {"MM_OPTION_PERCENT": "0.01", "IM_OPTION_PERCENT": "0.015"},
}
SCENARIO: Json = {
    "Cash": 0,
    "Collaterals": [],
    "SpotPrice": "1500",
    "SpotConfidence": "1",
    "NumPerps": 0,
    "PerpPrice": "1505",
    "PerpConfidence": "1",
    "UnrealisedPerpPNL": 0,
    "UnrealisedFunding": 0,
    "StablePrice": "1",
    "Options": [],
    "OptionFeeds": [],
}


def option(expiry: int, strike: Any, call: int, volatility: Any, amount: Any) -> Json:
    return {"Expiry": expiry, "Strike": strike, "IsCall": call, "MarkVol": volatility, "Amount": amount}


def feed(expiry: int, forward: Any, rate: Any = "0", **more: Any) -> Json:
    return {
        "FeedExpiry": expiry,
        "Forward": forward,
        "ForwardConfidence": "1",
        "Rate": rate,
        "RateConfidence": "1",
        "OptionVolConfidences": "1",
    } | more


def collateral(amount: Any, price: Any, cancelling: int, **more: Any) -> Json:
    return {
        "Name": "ETH",
        "Amount": amount,
        "Price": price,
        "Confidence": "1",
        "IsRiskCancelling": cancelling,
        "IMHaircut": "0.1",
        "MMHaircut": "0.05",
    } | more


def parameters(**sections: Json) -> Json:
    """PARAMETERS with single values of sections replaced."""
    return {name: item | sections.get(name, {}) if name != "Scenarios" else item for name, item in PARAMETERS.items()}


def margin(parameters: Json = PARAMETERS, **scenario: Any) -> Pmrm2Margin:
    return pmrm2_margin(Pmrm2Case.parse({"Scenario": SCENARIO | scenario, "Parameters": parameters}))


def random_case(rng: random.Random) -> Json:
    def number(low: float, high: float) -> Any:
        value = round(rng.uniform(low, high), 6)
        return value if rng.random() < 0.5 else f"{value:.6f}"

    expiries = rng.sample([60, 900, 1799, 1800, 43200, DAY, 500400, 30 * DAY, 30 * DAY + 1, 7758000, 94608000], 4)
    rows = [
        (rng.choice(expiries), rng.choice(["500", "1200", "1500", "1510", "1900", "4000"]), rng.randint(0, 1))
        for _ in range(rng.randint(0, 12))
    ]
    vols = {row: rng.choice([0, number(0, 2.5)]) for row in rows}
    scenario = {
        "Cash": number(-50000, 50000),
        "Collaterals": [
            collateral(
                number(0, 30),
                number(0.5, 2000),
                rng.randint(0, 1),
                Confidence=rng.choice([1, "0.6", number(0, 1)]),
                IMHaircut=number(0, 0.4),
                MMHaircut=number(0, 0.2),
            )
            for _ in range(rng.randint(0, 3))
        ],
        "SpotPrice": number(1300, 1700),
        "SpotConfidence": rng.choice([1, number(0, 1)]),
        "NumPerps": rng.choice([0, number(-30, 30)]),
        "PerpPrice": number(1400, 1600),
        "PerpConfidence": rng.choice([1, number(0, 1)]),
        "UnrealisedPerpPNL": number(-500, 500),
        "UnrealisedFunding": number(-500, 500),
        "StablePrice": rng.choice([1, "0.98", number(0.8, 1.02)]),
        "Options": [option(*row, vols[row], rng.choice([1, -1, 0, number(-20, 20)])) for row in rows],
        "OptionFeeds": [
            feed(
                e,
                rng.choice(["1510", number(1200, 1900)]),
                number(-0.1, 0.3),
                ForwardConfidence=rng.choice([1, number(0, 1)]),
                RateConfidence=rng.choice([1, number(0, 1)]),
                OptionVolConfidences=rng.choice([1, "0.6", number(0, 1)]),
            )
            for e in expiries
        ],
        "Comment": None,
    }
    directions = ["Up", "none", "DOWN", "Linear", "aBs"]
    chosen: Json = {
        "Scenarios": [
            {
                "SpotShock": 1 if direction in ("Linear", "aBs") else number(0.3, 3),
                "VolShockDirection": direction,
                "DampeningFactor": rng.choice([1, number(0, 1)]),
            }
            for direction in rng.choices(directions, k=rng.randint(1, 14))
        ]
    }
    for section, items in PARAMETERS.items():
        if section != "Scenarios":
            chosen[section] = {name: round(float(item) * rng.uniform(0.2, 1.8), 9) for name, item in items.items()}
    chosen["OtherContingency"]["CONF_THRESHOLD"] = rng.choice(["0.6", number(0, 1)])
    chosen["OtherContingency"]["PEG_LOSS_THRESHOLD"] = "0.98"
    if rng.random() < 0.2:
        chosen["SkewShock"]["LINEAR_SCALE_CAP"] = number(-0.3, 0)
        chosen["SkewShock"]["ABS_SCALE_CAP"] = number(-1.5, 0)
    return {"Scenario": scenario, "Parameters": chosen}
