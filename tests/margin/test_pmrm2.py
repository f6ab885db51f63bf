"""`pmrm2` against an independent scalar implementation, hand calculations, limits and symmetries.

There are no outside vectors for this version.
"""

import copy
import math
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from atomic_margin.margin.models.pmrm2 import Pmrm2Case, pmrm2_margin

from .pmrm2_cases import DAY, Json, collateral, feed, margin, option, parameters, random_case

AMOUNTS = ("initial_excess", "maintenance_excess", "mark_to_market", "min_span", "basis_contingency")


# --- an independent implementation: scalar, from the text of the issue


def phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def black(f: float, k: float, s: float, t: float, call: bool) -> float:
    w = s * math.sqrt(t)
    if w == 0:
        return max(f - k, 0.0) if call else max(k - f, 0.0)
    d1 = (math.log(f / k) + w * w / 2) / w
    d2 = d1 - w
    return f * phi(d1) - k * phi(d2) if call else k * phi(-d2) - f * phi(-d1)


def slow(case: Json) -> dict[str, float]:
    s, p = case["Scenario"], case["Parameters"]

    def q(section: str, name: str) -> float:
        return float(p[section][name])

    spot, stable, perps = float(s["SpotPrice"]), float(s["StablePrice"]), float(s["NumPerps"])
    positions: dict[tuple[int, str, bool], tuple[Decimal, float]] = {}
    for row in s["Options"]:
        key = (row["Expiry"], str(row["Strike"]), bool(row["IsCall"]))
        before = positions[key][0] if key in positions else Decimal(0)
        positions[key] = (before + Decimal(str(row["Amount"])), float(row["MarkVol"]))
    positions = {key: item for key, item in positions.items() if item[0] != 0}
    feeds = {row["FeedExpiry"]: row for row in s["OptionFeeds"]}
    expiries = sorted({key[0] for key in positions})

    def rate(e: int) -> float:
        return max(float(feeds[e]["Rate"]), 0.0)

    def value(e: int, x: float, direction: str) -> float:
        t, full = e / (365 * 86400), float(feeds[e]["Forward"])
        fixed = full * (1800 - e) / 1800 if e < 1800 else 0.0
        variable = full * e / 1800 if e < 1800 else full
        days = max(e / 86400, q("VolShock", "DTE_FLOOR"))
        power = q("VolShock", "SHORTTERMPOWER" if e <= 30 * 86400 else "LONGTERMPOWER")
        m = (30 / days) ** power if days else 0.0
        root = math.sqrt(t)
        width = q("SkewShock", "VOL_PARAM_STATIC") + root * q("SkewShock", "VOL_PARAM_SCALE")
        k_star = max(q("SkewShock", "MIN_K_STAR"), root * q("SkewShock", "MIN_WIDTH_SCALE") * width)
        total = 0.0
        for (expiry, strike, call), (amount, volatility) in positions.items():
            if expiry != e:
                continue
            vol = volatility
            if direction == "up":
                vol = max(q("VolShock", "MIN_VOL_EVAL_SHOCKED"), vol * (1 + q("VolShock", "VOLRANGEUP") * m))
            elif direction == "down":
                vol *= max(0.0, 1 - q("VolShock", "VOLRANGEDOWN") * m)
            elif direction in ("linear", "abs"):
                k = math.log(float(strike) / full)
                k = abs(k) if direction == "abs" else k
                name = direction.upper()
                cap = q("SkewShock", f"{name}_CBASE") * root + q("SkewShock", f"{name}_SCALE_CAP")
                move = k * cap / k_star if k_star else math.copysign(math.inf, k * cap) if k * cap else 0.0
                if k > 0 and move > cap:
                    move = cap
                if k < 0 and move < -cap:
                    move = -cap
                vol *= max(0.0, 1 + move)
            total += float(amount) * black(fixed + variable * x, float(strike), vol, t, call)
        return math.exp(-rate(e) * t) * total

    def static(e: int, v: float) -> float:
        t, r = e / (365 * 86400), rate(e)
        if v >= 0:
            decay = t * (r * q("Margin", "LONG_RATE_MULTSCALE") + q("Margin", "LONG_RATE_ADDSCALE"))
            return v * q("Margin", "BASE_STATIC_DISCOUNT") * math.exp(-decay)
        growth = t * (r * q("Margin", "SHORT_RATE_MULTSCALE") + q("Margin", "SHORT_RATE_ADDSCALE"))
        return v * min(math.exp(r * t), q("Margin", "BASE_STATIC_DISCOUNT_NEG") * math.exp(growth))

    worth = [float(c["Amount"]) * float(c["Price"]) / stable for c in s["Collaterals"]]
    moving = sum(v for v, c in zip(worth, s["Collaterals"], strict=True) if int(c["IsRiskCancelling"]))
    outcomes = []
    for row in p["Scenarios"]:
        direction, x = row["VolShockDirection"].lower(), float(row["SpotShock"])
        pnl = 0.0
        for e in expiries:
            if direction in ("linear", "abs"):
                pnl -= abs(static(e, value(e, 1.0, direction)) - value(e, 1.0, "none"))
            else:
                pnl += static(e, value(e, x, direction)) - value(e, 1.0, "none")
        if direction not in ("linear", "abs"):
            pnl += (moving + perps * float(s["PerpPrice"])) * (x - 1)
        outcomes.append(pnl * float(row["DampeningFactor"]))
    basis = 0.0
    for e in expiries:
        up = value(e, q("BasisContingency", "SCENARIO_SPOT_UP"), "none") - value(e, 1.0, "none")
        down = value(e, q("BasisContingency", "SCENARIO_SPOT_DOWN"), "none") - value(e, 1.0, "none")
        share = q("BasisContingency", "BASIS_CONT_ADD_FACTOR")
        share += q("BasisContingency", "BASIS_CONT_MULT_FACTOR") * e / (365 * 86400)
        basis += min(0.0, up, down) * share
    worst = min(*outcomes, basis)
    mtm = sum(worth) + float(s["Cash"]) + sum(value(e, 1.0, "none") for e in expiries)
    profit = float(s["UnrealisedPerpPNL"]) + float(s["UnrealisedFunding"])
    # What a perpetual that is held no more has lost is owed until it is settled; a gain waits for that.
    mtm += profit if perps != 0 or profit < 0 else 0.0

    naked = 0.0
    for e, strike in {key[:2] for key in positions}:
        naked += max(0.0, float(-sum(item[0] for key, item in positions.items() if key[:2] == (e, strike))))

    def h(c: float, n: float) -> float:
        return (
            q("OtherContingency", "CONF_MARGIN") * (1 - c) * n if c < q("OtherContingency", "CONF_THRESHOLD") else 0.0
        )

    c_spot = float(s["SpotConfidence"])
    c0 = min(c_spot, float(s["PerpConfidence"])) if perps != 0 else c_spot
    doubt = h(c0, abs(perps) * spot)
    for e in expiries:
        row = feeds[e]
        own = [float(row[name]) for name in ("ForwardConfidence", "RateConfidence", "OptionVolConfidences")]
        doubt += h(min(c0, *own), spot * sum(abs(float(item[0])) for key, item in positions.items() if key[0] == e))
    for v, c in zip(worth, s["Collaterals"], strict=True):
        doubt += h(min(float(c["Confidence"]), c_spot), v)

    def charge(kind: str) -> float:
        total = abs(perps) * spot * q("OtherContingency", f"{kind}_PERP_PERCENT")
        total += naked * spot * q("OtherContingency", f"{kind}_OPTION_PERCENT")
        return total + sum(v * float(c[f"{kind}Haircut"]) for v, c in zip(worth, s["Collaterals"], strict=True))

    mmc, imc = charge("MM"), charge("IM") + doubt
    peg = q("OtherContingency", "PEG_LOSS_FACTOR") * max(0.0, q("OtherContingency", "PEG_LOSS_THRESHOLD") - stable)
    return {
        "initial_excess": (q("Margin", "IM_LOSS_FACTOR") + peg) * worst - imc - mmc + mtm,
        "maintenance_excess": q("Margin", "MM_LOSS_FACTOR") * worst - mmc + mtm,
        "mark_to_market": mtm,
        "min_span": min(outcomes),
        "basis_contingency": basis,
        "maintenance_contingency": mmc,
        "initial_contingency": imc,
        "confidence_contingency": doubt,
    }


@pytest.mark.parametrize("seed", range(400))
def test_random_cases_agree_with_the_scalar_implementation(seed: int) -> None:
    case = random_case(random.Random(seed))
    found = pmrm2_margin(Pmrm2Case.parse(case))
    for field, expected in slow(case).items():
        assert getattr(found, field) == pytest.approx(expected, rel=1e-9, abs=1e-8), field


# --- figures one can check by hand


def test_a_perpetual_with_cash() -> None:
    found = margin(NumPerps=2, Cash=1000, UnrealisedPerpPNL=30, UnrealisedFunding="-10")
    worst = -2 * 1505 * 0.66 * 0.21  # damped fall to 34 %
    assert worst > 2 * 1505 * -0.18
    worst = 2 * 1505 * -0.18
    assert found.worst == "0.82 up"
    assert found.min_span == pytest.approx(worst)
    assert found.mark_to_market == 1020
    assert found.maintenance_excess == pytest.approx(0.8 * worst - 60 + 1020)
    assert found.initial_excess == pytest.approx(worst - 90 - 60 + 1020)


def test_only_risk_cancelling_collateral_moves_with_spot() -> None:
    found = margin(Collaterals=[collateral(1, 1500, 1), collateral(2, 100, 0)], StablePrice="0.8")
    value, other = 1500 / 0.8, 200 / 0.8
    assert found.mark_to_market == pytest.approx(value + other)
    assert found.min_span == pytest.approx(-0.18 * value)
    assert found.initial_loss_factor == pytest.approx(1 + 2 * 0.18)
    assert found.maintenance_loss_factor == 0.8
    haircut = value + other
    assert found.maintenance_excess == pytest.approx(-0.8 * 0.18 * value + 0.95 * haircut)
    assert found.initial_excess == pytest.approx(-1.36 * 0.18 * value + 0.85 * haircut)


def test_in_the_last_half_hour_the_observed_part_of_the_average_stays() -> None:
    # 900 s before expiry half of the forward is fixed: at 1.18 * spot it stands at 1500 * 1.09.
    found = margin(Options=[option(900, 1, 1, "0.5", 1)], OptionFeeds=[feed(900, 1500)])
    assert found.expiry_shocked[0, 0] == pytest.approx(1500 * 1.09 - 1)
    found = margin(Options=[option(1800, 1, 1, "0.5", 1)], OptionFeeds=[feed(1800, 1500)])
    assert found.expiry_shocked[0, 0] == pytest.approx(1500 * 1.18 - 1)


def test_a_short_is_scaled_up_by_no_more_than_the_lost_discount() -> None:
    year, rate = 365 * DAY, 0.1
    deep = {"Options": [option(year, 1, 1, "0.1", -1)], "OptionFeeds": [feed(year, 1001, rate)]}
    found = margin(parameters(Margin={"BASE_STATIC_DISCOUNT_NEG": "2"}), **deep)
    assert found.mark_to_market == pytest.approx(-1000 * math.exp(-rate))
    row = found.labels.index("1.00 none")
    assert found.losses[row] == pytest.approx(-1000 + 1000 * math.exp(-rate))
    found = margin(parameters(Margin={"BASE_STATIC_DISCOUNT_NEG": "0.9", "SHORT_RATE_MULTSCALE": "0"}), **deep)
    scale = 0.9 * math.exp(0.02)
    assert found.losses[row] == pytest.approx((1 - scale) * 1000 * math.exp(-rate))


def test_shocked_up_volatility_has_a_floor_and_others_have_none() -> None:
    found = margin(Options=[option(30 * DAY, 1500, 1, 0, 1)], OptionFeeds=[feed(30 * DAY, 1500)])
    w = 0.4 * math.sqrt(30 / 365)
    assert found.expiry_shocked[found.labels.index("1.00 up"), 0] == pytest.approx(1500 * (2 * phi(w / 2) - 1))
    for label in ("1.00 none", "1.00 down", "skew linear", "skew abs"):
        assert found.expiry_shocked[found.labels.index(label), 0] == 0


@pytest.mark.parametrize(("strike", "linear", "absolute"), [(1500, 0, 0), (15000, 1, 1), (150, -1, 1)])
def test_skew_shocks_reach_their_caps_far_from_the_money(strike: int, linear: int, absolute: int) -> None:
    expiry, volatility = 30 * DAY, 2.0
    found = margin(Options=[option(expiry, strike, 1, volatility, 1)], OptionFeeds=[feed(expiry, 1500)])
    t = 30 / 365
    for label, base, cap, sign in (("linear", 0.2, 0.03, linear), ("abs", 0.3, 0.05, absolute)):
        shocked = volatility * (1 + sign * (base * math.sqrt(t) + cap))
        expected = black(1500, strike, shocked, t, True)
        assert found.expiry_shocked[found.labels.index(f"skew {label}"), 0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_skew_scenarios_never_gain_and_do_not_read_the_spot_shock(seed: int) -> None:
    case = random_case(random.Random(seed))
    skew = [{"SpotShock": 1, "VolShockDirection": name, "DampeningFactor": 1} for name in ("Linear", "Abs")]
    case["Parameters"]["Scenarios"] = skew
    found = pmrm2_margin(Pmrm2Case.parse(case))
    assert np.all(found.losses <= 0)
    for row in skew:
        row["SpotShock"] = 2
    assert pmrm2_margin(Pmrm2Case.parse(case)).initial_excess == found.initial_excess


# --- limits and symmetries


@pytest.mark.parametrize(("volatility", "expiry"), [(0, 30 * DAY), ("1e-12", 30 * DAY), ("0.000001", 1)])
@pytest.mark.parametrize("call", [0, 1])
def test_no_volatility_or_no_time_leaves_the_intrinsic_value(volatility: Any, expiry: int, call: int) -> None:
    for strike in (1, 1400, 1600, 10**6):
        found = margin(Options=[option(expiry, strike, call, volatility, 1)], OptionFeeds=[feed(expiry, 1500)])
        payoff = max((1500 - strike) * (1 if call else -1), 0)
        assert found.mark_to_market == pytest.approx(payoff, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_cash_moves_the_mark_and_both_margins_and_nothing_else(seed: int) -> None:
    case = random_case(random.Random(seed))
    before = pmrm2_margin(Pmrm2Case.parse(case))
    case["Scenario"]["Cash"] = str(Decimal(str(case["Scenario"]["Cash"])) + 12345)
    after = pmrm2_margin(Pmrm2Case.parse(case))
    for field in AMOUNTS:
        shift = 12345 if field in ("mark_to_market", "initial_excess", "maintenance_excess") else 0
        assert getattr(after, field) == pytest.approx(getattr(before, field) + shift, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_everything_held_scales_with_the_account(seed: int) -> None:
    case = random_case(random.Random(seed))
    bigger = copy.deepcopy(case)
    for name in ("Cash", "NumPerps", "UnrealisedPerpPNL", "UnrealisedFunding"):
        bigger["Scenario"][name] = str(3 * Decimal(str(case["Scenario"][name])))
    for item in bigger["Scenario"]["Options"] + bigger["Scenario"]["Collaterals"]:
        item["Amount"] = str(3 * Decimal(str(item["Amount"])))
    before, after = pmrm2_margin(Pmrm2Case.parse(case)), pmrm2_margin(Pmrm2Case.parse(bigger))
    for field in AMOUNTS:
        assert getattr(after, field) == pytest.approx(3 * getattr(before, field), rel=1e-11, abs=1e-8)


def test_discounted_put_call_parity_in_every_scenario() -> None:
    expiry, rate = 90 * DAY, 0.05
    rows = [option(expiry, 1400, 1, "0.7", 1), option(expiry, 1400, 0, "0.7", -1)]
    plain = parameters(SkewShock={"LINEAR_CBASE": "0", "ABS_CBASE": "0"})
    found = margin(plain, Options=rows, OptionFeeds=[feed(expiry, 1510, rate)])
    x = np.array([1.0 if "skew" in label else float(label.split()[0]) for label in found.labels])
    discount = math.exp(-rate * 90 / 365)
    assert found.expiry_shocked[:, 0] == pytest.approx(discount * (1510 * x - 1400), rel=1e-11)
    assert found.maintenance_contingency == 0


def test_a_negative_rate_counts_as_none() -> None:
    rows = [option(90 * DAY, 1400, 1, "0.7", -1)]
    below = margin(Options=rows, OptionFeeds=[feed(90 * DAY, 1510, "-0.05")])
    assert below.initial_excess == margin(Options=rows, OptionFeeds=[feed(90 * DAY, 1510, 0)]).initial_excess


def test_an_empty_account_needs_no_margin() -> None:
    found = margin()
    assert {getattr(found, field) for field in AMOUNTS} == {0.0}


def test_extreme_but_allowed_rates_stay_finite() -> None:
    years = 49 * 365 * DAY
    rows = [option(years, 1500, 1, 50, -1), option(years, 10, 0, 50, 1)]
    extreme = parameters(Margin={"SHORT_RATE_MULTSCALE": "100", "LONG_RATE_MULTSCALE": "100"})
    found = margin(extreme, Options=rows, OptionFeeds=[feed(years, 1500, 10)])
    assert math.isfinite(found.initial_excess)
