"""`pmrm` against the outside vectors, an independent scalar implementation, limits and symmetries."""

import copy
import json
import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import errors
from atomic_margin.margin.models.pmrm import (
    PmrmCase,
    PmrmMargin,
    PmrmParameters,
    parse_cases,
    parse_parameters,
    pmrm_margin,
)

from ..outside import outside as vectors

Json = dict[str, Any]
UNIT = 10**18
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
        m = (2592000 / max(e, p["dte_floor_seconds"])) ** power
        return {1: 1 + par("vol_range_up") * m, 0: 1.0, -1: max(0.0, 1 - par("vol_range_down") * m)}[vol]

    mtm = base * spot / stable + num(c["Cash"]) + sum(value(e, 1.0, 1.0) for e in book)
    if c["Perps"]:
        mtm += num(c["UnrealisedPerpPNL"]) + num(c["UnrealisedFunding"])
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


# --- bad input


def good() -> Json:
    return case_of([(604800, 1400, 1, 0.7, 1), (86400, 1500, 0, 0.6, 2)], [(604800, 1510, 0), (86400, 1501, 0)])


def put(name: str, value: Any, index: int | None = None) -> Callable[[Json], None]:
    def change(scenario: Json) -> None:
        if index is None:
            scenario[name] = value
        else:
            scenario[name][index] = value

    return change


def repeat_feed(scenario: Json) -> None:
    for name in ("FeedExpiries", "ForwardsVariable", "ForwardsFixed", "ForwardConfidences", "Rates", "RateConfidences"):
        scenario[name].append(scenario[name][0])
    scenario["Rates"][2] += 1


def repeat_option(scenario: Json) -> None:
    for name in [name for name in scenario if name.startswith("Option")]:
        scenario[name].append(scenario[name][0])
    scenario["OptionVols"][2] += 1


def same_expiry(scenario: Json) -> None:
    scenario["OptionExpiries"][1] = scenario["OptionExpiries"][0]
    scenario["OptionVolConfidences"][1] = 0


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        (put("Cash", float("nan")), document_errors.NotADecimal, "Cash"),
        (put("Cash", float("inf")), document_errors.NotADecimal, "Cash"),
        (put("OptionStrikes", 1.5e21, 1), document_errors.NotADecimal, "OptionStrikes[1]"),
        (put("Base", True), document_errors.NotADecimal, "Base"),
        (put("Base", "7"), document_errors.NotADecimal, "Base"),
        (put("Base", -1), document_errors.NegativeHolding, "Base"),
        (put("Cash", 10**100), document_errors.OutOfRange, "Cash"),
        (put("Cash", 10**50), document_errors.OutOfRange, "Cash"),
        (put("OptionVols", -1, 0), document_errors.NegativeVolatility, "OptionVols[0]"),
        (put("OptionExpiries", 0, 1), errors.ExpiredInstrument, "OptionExpiries[1]"),
        (put("OptionExpiries", -60, 1), errors.ExpiredInstrument, "OptionExpiries[1]"),
        (put("OptionExpiries", 10**10, 1), document_errors.OutOfRange, "OptionExpiries[1]"),
        (put("OptionExpiries", 86401, 1), errors.UnpricedInstrument, "OptionExpiries[1]"),
        (put("OptionIsCall", 2, 0), document_errors.OutOfRange, "OptionIsCall[0]"),
        (put("OptionStrikes", 0, 0), document_errors.NonPositivePrice, "OptionStrikes[0]"),
        (put("SpotPrice", 0), document_errors.NonPositivePrice, "SpotPrice"),
        (put("StablePrice", -UNIT), document_errors.NonPositivePrice, "StablePrice"),
        (put("SpotConfidence", UNIT + 1), document_errors.OutOfRange, "SpotConfidence"),
        (put("ForwardsVariable", 0, 0), document_errors.NonPositivePrice, "ForwardsVariable[0]"),
        (lambda c: c.update(Perps=1, PerpPrice=0), document_errors.NonPositivePrice, "PerpPrice"),
        (lambda c: c["OptionAmounts"].pop(), document_errors.MalformedDocument, "OptionAmounts"),
        (lambda c: c["Rates"].append(0), document_errors.MalformedDocument, "Rates"),
        (lambda c: c.pop("UnrealisedPerpPNL"), document_errors.MalformedDocument, "UnrealisedPerpPNL"),
        (put("Perpetuals", 0), document_errors.MalformedDocument, "Perpetuals"),
        (put("Rates", None), document_errors.MalformedDocument, "Rates"),
        (repeat_feed, document_errors.DuplicateId, "FeedExpiries[2]"),
        (repeat_option, document_errors.DuplicateId, "OptionVols[2]"),
        (same_expiry, document_errors.DuplicateId, "OptionVolConfidences[1]"),
    ],
)
def test_a_bad_case_is_refused_by_name(change: Callable[[Json], object], error: type[Exception], field: str) -> None:
    scenario = good()
    change(scenario)
    with pytest.raises(error) as caught:
        parse_cases({"Mine": {"Scenario": scenario}})
    assert isinstance(caught.value, document_errors.DocumentError)
    assert caught.value.field == f"Mine.Scenario.{field}"


@pytest.mark.parametrize(("value", "field"), [([], "$"), ({"A": 1}, "A"), ({"A": {}}, "A.Scenario")])
def test_a_file_of_another_shape_is_refused(value: object, field: str) -> None:
    with pytest.raises(document_errors.MalformedDocument) as caught:
        parse_cases(value)
    assert caught.value.field == field


def test_informative_fields_are_not_looked_at() -> None:
    extra: Json = {"Forwards": [float("nan")], "SVIparams": None, "PercentFixed": 0.75, "StableConfidence": -1}
    assert margin(good() | extra).initial_excess == margin(good()).initial_excess


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        (put("im_facter", "1"), document_errors.MalformedDocument, "vectors.im_facter"),
        (lambda p: p.pop("im_factor"), document_errors.MalformedDocument, "vectors.im_factor"),
        (put("im_factor", 1.3), document_errors.NotADecimal, "vectors.im_factor"),
        (put("im_factor", "NaN"), document_errors.NotADecimal, "vectors.im_factor"),
        (put("im_factor", "-1"), document_errors.OutOfRange, "vectors.im_factor"),
        (put("dte_floor_seconds", 0), document_errors.OutOfRange, "vectors.dte_floor_seconds"),
        (put("scenarios", []), document_errors.MalformedDocument, "vectors.scenarios"),
        (put("scenarios", [GRID[0], GRID[0]]), document_errors.DuplicateId, "vectors.scenarios[1]"),
        (put("scenarios", [{"spot": "1.1", "vol": 2}]), document_errors.OutOfRange, "vectors.scenarios[0].vol"),
        (put("scenarios", [{"spot": "0", "vol": 1}]), document_errors.OutOfRange, "vectors.scenarios[0].spot"),
    ],
)
def test_a_bad_parameter_set_is_refused_by_name(
    change: Callable[[Json], object], error: type[Exception], field: str
) -> None:
    sets = copy.deepcopy(SETS)
    change(sets["vectors"])
    with pytest.raises(error) as caught:
        parse_parameters(sets, "vectors")
    assert isinstance(caught.value, document_errors.DocumentError)
    assert caught.value.field == field


def test_an_unknown_parameter_set_is_refused() -> None:
    with pytest.raises(document_errors.UnknownId, match="'mainnet', 'vectors'"):
        parse_parameters(SETS, "testnet")
    assert isinstance(parse_parameters(SETS, "mainnet"), PmrmParameters)
