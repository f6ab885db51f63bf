"""`pmrm` refuses bad cases and parameter sets by name."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import errors
from atomic_margin.margin.models.pmrm import (
    PmrmParameters,
    parse_cases,
    parse_parameters,
)

from .pmrm_cases import GRID, SETS, UNIT, Json, case_of, margin


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
        (put("OptionExpiries", 0, 1), errors.UnpricedInstrument, "OptionExpiries[1]"),
        (put("OptionVols", 1001 * UNIT, 0), document_errors.OutOfRange, "OptionVols[0]"),
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
        (put("dte_floor_seconds", -1), document_errors.OutOfRange, "vectors.dte_floor_seconds"),
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
