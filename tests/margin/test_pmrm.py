"""`pmrm` against the outside vectors, an independent scalar implementation, limits and symmetries."""

import copy
import json
import math
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from atomic_margin.margin.models.pmrm import (
    parse_cases,
    parse_parameters,
    pmrm_margin,
)

from ..outside import outside as vectors
from .pmrm_cases import FIELDS, GRID, SETS, UNIT, Json, case_of, margin, random_case, whole

# --- the outside vectors


def outside(name: str) -> Json:
    found: Json = json.loads((vectors("pmrm") / name).read_text())
    return found


@pytest.mark.parametrize("number", range(1, 22))
def test_every_expected_field_of_the_vectors(number: int) -> None:
    raw = outside("testAndVerifyScenarios.json")
    assert len(raw) == 21
    found = pmrm_margin(parse_cases(raw)[f"Test{number}"], parse_parameters(outside("parameters.json"), "vectors"))
    for field, attribute in FIELDS.items():
        expected = float(Fraction(raw[f"Test{number}"]["Result"][field]) / UNIT)
        assert getattr(found, attribute) == pytest.approx(expected, rel=1e-8, abs=1e-8 if abs(expected) < 1e-9 else 0)


def test_the_sets_above_are_the_published_ones() -> None:
    published = outside("parameters.json")
    for name, item in SETS.items():
        ours = parse_parameters(SETS, name).model_dump(exclude={"note"})
        assert ours == parse_parameters(published, name).model_dump(exclude={"note"}), item


# --- an independent implementation: scalar, from the text of the specification


def cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def option(f: float, k: float, s: float, t: float, call: int) -> float:
    w = s * math.sqrt(t)
    if w == 0:
        value = max(f - k, 0.0)
    else:
        d1 = math.log(f / k) / w + w / 2
        value = f * cdf(d1) - k * cdf(d1 - w)
    return value if call else value - f + k


def slow(c: Json, p: Json) -> dict[str, float]:
    def num(x: Any) -> float:
        return float(Fraction(x) / UNIT)

    def par(name: str) -> float:
        return float(Fraction(str(p[name])))

    spot, stable, perps, base = num(c["SpotPrice"]), num(c["StablePrice"]), num(c["Perps"]), num(c["Base"])
    expiries: dict[int, dict[tuple[int, int], list[int]]] = {}
    for i, e in enumerate(c["OptionExpiries"]):
        cell = expiries.setdefault(e, {}).setdefault((c["OptionStrikes"][i], c["OptionIsCall"][i]), [0, 0])
        cell[0] += c["OptionAmounts"][i]
        cell[1] = c["OptionVols"][i]
    book = {e: {key: cell for key, cell in cells.items() if cell[0]} for e, cells in expiries.items()}
    book = {e: cells for e, cells in book.items() if cells}

    def value(e: int, x: float, g: float) -> float:
        j = c["FeedExpiries"].index(e)
        f = num(c["ForwardsVariable"][j]) * x + num(c["ForwardsFixed"][j])
        total = 0.0
        for (k, call), (a, s) in book[e].items():
            total += num(a) * option(f, num(k), num(s) * g, e / 31536000, call)
        return total

    def shock(e: int, vol: int) -> float:
        power = par("short_term_power") if e <= 2592000 else par("long_term_power")
        floored = max(e, p["dte_floor_seconds"])
        m = (2592000 / floored) ** power if floored else 0.0
        return {1: 1 + par("vol_range_up") * m, 0: 1.0, -1: max(0.0, 1 - par("vol_range_down") * m)}[vol]

    mtm = base * spot / stable + num(c["Cash"]) + sum(value(e, 1.0, 1.0) for e in book)
    profit = num(c["UnrealisedPerpPNL"]) + num(c["UnrealisedFunding"])
    mtm += profit if c["Perps"] or profit < 0 else 0.0
    losses = []
    for scenario in p["scenarios"]:
        x = float(scenario["spot"])
        loss = (base * spot / stable + perps * num(c["PerpPrice"])) * (x - 1)
        for e in book:
            v = value(e, x, shock(e, scenario["vol"]))
            if v > 0:
                r = num(c["Rates"][c["FeedExpiries"].index(e)])
                v *= par("base_static_discount") * math.exp(
                    -e / 31536000 * (par("rate_mult_scale") * max(r, 0.0) + par("rate_add_scale"))
                )
            loss += v - value(e, 1.0, 1.0)
        losses.append(loss)
    forward, naked = 0.0, 0.0
    for e, cells in book.items():
        moves = [value(e, par(name), 1.0) - value(e, 1.0, 1.0) for name in ("basis_spot_up", "basis_spot_down")]
        forward += min(0.0, *moves) * (par("basis_add") + par("basis_mult") * e / 31536000)
        for strike in {k for k, _ in cells}:
            naked += max(0.0, -num(sum(a for (k, _), (a, _) in cells.items() if k == strike)))

    def h(confidence: int, n: float) -> float:
        if Fraction(confidence, UNIT) >= Fraction(p["conf_threshold"]):
            return 0.0
        return par("conf_margin") * (1 - num(confidence)) * n * spot

    c0 = min(c["SpotConfidence"], c["PerpConfidence"]) if c["Perps"] else c["SpotConfidence"]
    oracle = h(c0, abs(perps) + base)
    for e, cells in book.items():
        j, i = c["FeedExpiries"].index(e), c["OptionExpiries"].index(e)
        worst = min(c0, c["ForwardConfidences"][j], c["RateConfidences"][j], c["OptionVolConfidences"][i])
        oracle += h(worst, sum(abs(num(a)) for a, _ in cells.values()))
    static = -par("base_percent") * base * spot - par("perp_percent") * abs(perps) * spot
    static -= par("option_percent") * spot * naked
    factor = par("im_factor")
    if stable < par("peg_loss_threshold"):
        factor += par("peg_loss_factor") * (par("peg_loss_threshold") - stable)
    loss = min(*losses, forward) + static
    return {
        "mark_to_market": mtm,
        "min_span": min(losses),
        "forward_contingency": forward,
        "option_contingency": -par("option_percent") * spot * naked,
        "oracle_contingency": -oracle,
        "loss_factor": factor,
        "initial_excess": factor * loss - oracle + mtm,
        "maintenance_excess": loss + mtm,
    }


@pytest.mark.parametrize("seed", range(400))
def test_random_cases_agree_with_the_scalar_implementation(seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(sorted(SETS))
    scenario = random_case(rng)
    found = margin(scenario, name)
    for field, expected in slow(scenario, SETS[name]).items():
        assert getattr(found, field) == pytest.approx(expected, rel=1e-9, abs=1e-8), field


# --- limits and symmetries


@pytest.mark.parametrize(
    ("strike", "call", "value"), [(1e-3, 1, 1499.999), (1e6, 1, 0.0), (1e6, 0, 998500.0), (1e-3, 0, 0.0)]
)
@pytest.mark.parametrize("volatility", [0, 1e-9, 0.5])
@pytest.mark.parametrize("seconds", [1, 86400])
def test_deep_options_are_worth_their_intrinsic_value(
    strike: float, call: int, value: float, volatility: float, seconds: int
) -> None:
    found = margin(case_of([(seconds, strike, call, volatility, 1)], [(seconds, 1500, 0.03)]))
    assert found.mark_to_market == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("volatility", "seconds"), [(0, 2592000), (1e-12, 2592000), (1e-6, 1)])
@pytest.mark.parametrize("call", [0, 1])
def test_no_volatility_or_no_time_leaves_the_intrinsic_value_under_every_shock(
    volatility: float, seconds: int, call: int
) -> None:
    found = margin(case_of([(seconds, 1450, call, f"{volatility:.18f}", -1)], [(seconds, 1500, 0)]))
    x = np.array([float(row["spot"]) for row in GRID])
    payoff = np.maximum((1500 * x - 1450) * (1 if call else -1), 0)
    assert found.expiry_shocked[:, 0] == pytest.approx(-payoff, abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_cash_moves_the_mark_and_both_margins_and_nothing_else(seed: int) -> None:
    scenario = random_case(random.Random(seed))
    before, after = margin(scenario), margin(scenario | {"Cash": scenario["Cash"] + whole(12345)})
    for field in FIELDS.values():
        shift = 12345 if field in ("mark_to_market", "initial_excess", "maintenance_excess") else 0
        assert getattr(after, field) == pytest.approx(getattr(before, field) + shift, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_everything_held_scales_with_the_account(seed: int) -> None:
    scenario = random_case(random.Random(seed))
    held = ("Cash", "Perps", "Base", "UnrealisedPerpPNL", "UnrealisedFunding")
    bigger = scenario | {name: 3 * scenario[name] for name in held}
    bigger["OptionAmounts"] = [3 * amount for amount in scenario["OptionAmounts"]]
    before, after = margin(scenario), margin(bigger)
    for field in FIELDS.values():
        scale = 1 if field == "loss_factor" else 3
        assert getattr(after, field) == pytest.approx(scale * getattr(before, field), rel=1e-11, abs=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_rows_and_split_positions_do_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    scenario = random_case(rng)
    other = copy.deepcopy(scenario)
    names = [name for name in other if name.startswith("Option")]
    rows = list(zip(*(other[name] for name in names), strict=True))
    amount = names.index("OptionAmounts")
    rows += [(*row[:amount], 7 * UNIT, *row[amount + 1 :]) for row in rows]
    rows += [(*row[:amount], -7 * UNIT, *row[amount + 1 :]) for row in rows[: len(rows) // 2]]
    rng.shuffle(rows)
    for index, name in enumerate(names):
        other[name] = [row[index] for row in rows]
    before, after = margin(scenario), margin(other)
    for field in FIELDS.values():
        assert getattr(after, field) == pytest.approx(getattr(before, field), rel=1e-12, abs=1e-9)


def test_put_call_parity_in_every_scenario() -> None:
    rows = [(2592000, 1400.0, 1, 0.7, 1.0), (2592000, 1400.0, 0, 0.7, -1.0)]
    found = margin(case_of(rows, [(2592000, 1510, 0.05)]))
    x = np.array([float(row["spot"]) for row in GRID])
    assert found.expiry_shocked[:, 0] == pytest.approx(1510 * x - 1400, rel=1e-12)
    assert found.option_contingency == 0


def test_a_box_is_worth_the_strike_difference_in_every_scenario() -> None:
    rows = [(604800, 1400.0, 1, 0.7, 1.0), (604800, 1400.0, 0, 0.7, -1.0)]
    rows += [(604800, 1600.0, 1, 0.6, -1.0), (604800, 1600.0, 0, 0.6, 1.0)]
    found = margin(case_of(rows, [(604800, 1510, 0.05)]))
    assert found.expiry_shocked == pytest.approx(np.full((21, 1), 200.0), rel=1e-12)
    assert found.forward_contingency == pytest.approx(0, abs=1e-10)


def test_results_are_described_per_scenario_and_expiry() -> None:
    rows = [(604800, 1400.0, 1, 0.7, -1.0), (86400, 1500.0, 0, 0.7, 2.0), (99, 1500.0, 0, 0.7, 0.0)]
    found = margin(case_of(rows, [(604800, 1510, 0.05), (86400, 1501, 0.01), (99, 1500, 0)]))
    assert found.expiries == (86400, 604800)
    assert found.losses.shape == (21,)
    assert found.expiry_shocked.shape == (21, 2)
    assert found.losses.min() == found.min_span
    assert found.worst == "1.15 up"
    assert found.expiry_basis.sum() == pytest.approx(found.forward_contingency)


def test_an_empty_account_needs_no_margin() -> None:
    found = margin(case_of([], []))
    assert {getattr(found, field) for field in FIELDS.values()} == {0.0, 1.3}
