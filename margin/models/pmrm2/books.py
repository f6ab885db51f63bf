"""Generated cases of `pmrm2`, which bring their parameters.

For measurements and tests; see `portfolio_margin.books`.
"""

from collections.abc import Mapping
from typing import Any

from atomic_margin.margin.models.pmrm2.cases import Pmrm2Case
from atomic_margin.margin.models.portfolio_margin.books import AMOUNTS, EXPIRIES, confidence_of, drawing, instruments
from atomic_margin.margin.models.portfolio_margin.hedged import hedged_book

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
# What market makers are charged where they trade: less for a perpetual and a naked short than in the set above.
_MAKERS = {
    "Margin": {
        **_PMRM2["Margin"],
        "MM_LOSS_FACTOR": "0.85",
        "IM_LOSS_FACTOR": "1.1",
        "BASE_STATIC_DISCOUNT": "0.96",
        "BASE_STATIC_DISCOUNT_NEG": "1.03",
    },
    "OtherContingency": {
        **_PMRM2["OtherContingency"],
        "MM_PERP_PERCENT": "0.012",
        "IM_PERP_PERCENT": "0.009",
        "MM_OPTION_PERCENT": "0.004",
        "IM_OPTION_PERCENT": "0.003",
    },
}


def pmrm2_case(number: int, seed: int = 0) -> Pmrm2Case:
    """Return generated `pmrm2` case ``number``."""
    return Pmrm2Case.parse(pmrm2_document(number, seed))


def pmrm2_document(number: int, seed: int = 0) -> dict[str, Any]:
    """Return the same as a JSON object, parameters included."""
    draw = drawing("pmrm2", seed, number)
    expiries = draw.sample(EXPIRIES, 3)
    scenario = {
        "Cash": draw.randint(-20000, 50000),
        "Collaterals": [
            {
                "Name": name,
                "Amount": f"{draw.uniform(0, 20):.3f}",
                "Price": f"{draw.uniform(0.5, 1600):.2f}",
                "Confidence": confidence_of(draw),
                "IsRiskCancelling": draw.randint(0, 1),
                "IMHaircut": "0.1",
                "MMHaircut": "0.05",
            }
            for name in ("one", "two", "three")[: draw.randint(0, 3)]
        ],
        "SpotPrice": f"{draw.uniform(1400, 1600):.2f}",
        "SpotConfidence": confidence_of(draw),
        "NumPerps": draw.choice(["0", "0", f"{draw.uniform(-30, 30):.2f}"]),
        "PerpPrice": "1505",
        "PerpConfidence": confidence_of(draw),
        "UnrealisedPerpPNL": draw.randint(-500, 500),
        "UnrealisedFunding": draw.randint(-50, 50),
        "StablePrice": draw.choice(["1", "1", "0.95", "1.01"]),
        "Options": [
            {
                "Expiry": expiry,
                "Strike": strike,
                "IsCall": is_call,
                "MarkVol": f"{draw.uniform(0.2, 1.5):.3f}",
                "Amount": f"{draw.choice(['', '-'])}{draw.choice(AMOUNTS)}",
            }
            for expiry, strike, is_call in instruments(draw, expiries, 14)
        ],
        "OptionFeeds": [
            {
                "FeedExpiry": expiry,
                "Forward": f"{draw.uniform(1400, 1600):.2f}",
                "ForwardConfidence": confidence_of(draw),
                "Rate": draw.choice(["0", "0.05", "-0.02", "0.3"]),
                "RateConfidence": "1",
                "OptionVolConfidences": confidence_of(draw),
            }
            for expiry in expiries
        ],
    }
    return {"Scenario": scenario, "Parameters": dict(_PMRM2)}


def pmrm2_hedged_case(number: int, seed: int = 0, options: int | None = None) -> Pmrm2Case:
    """Return the case of a market maker, delta and vega flat, of 10 m to 4.5 bn USD gross.

    Args:
        number: of the case.
        seed: of the generator.
        options: how many different options are held over four expiries; as it comes if left out.
    """
    book = hedged_book("pmrm2", seed, number, options)
    sure = {"ForwardConfidence": 1, "RateConfidence": 1, "OptionVolConfidences": 1}
    scenario = {
        "Cash": 0,
        "Collaterals": [],
        "SpotPrice": str(book.spot),
        "SpotConfidence": 1,
        "NumPerps": book.perpetuals,
        "PerpPrice": str(book.spot),
        "PerpConfidence": 1,
        "UnrealisedPerpPNL": 0,
        "UnrealisedFunding": 0,
        "StablePrice": 1,
        "Options": [
            {"Expiry": key[0], "Strike": key[1], "IsCall": key[2], "MarkVol": str(vol), "Amount": book.amounts[key]}
            for key, vol in book.volatilities.items()
        ],
        "OptionFeeds": [
            {"FeedExpiry": expiry, "Forward": str(forward), "Rate": "0.04"} | sure
            for expiry, forward in book.forwards.items()
        ],
    }
    return Pmrm2Case.parse({"Scenario": scenario, "Parameters": {**_PMRM2, **_MAKERS}})
