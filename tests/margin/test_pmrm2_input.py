"""`pmrm2` refuses bad cases by name."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import errors
from atomic_margin.margin.models.pmrm2 import Pmrm2Case, pmrm2_margin

from .pmrm2_cases import DAY, PARAMETERS, SCENARIO, Json, collateral, feed, option


def good() -> Json:
    rows = [option(604800, 1400, 1, 0.7, 1), option(DAY, "1500", 0, "0.6", 2)]
    scenario = SCENARIO | {"Options": rows, "OptionFeeds": [feed(604800, 1510), feed(DAY, 1501)]}
    return copy.deepcopy({"Scenario": scenario | {"Collaterals": [collateral(1, 2, 0)]}, "Parameters": PARAMETERS})


def put(path: str, value: Any) -> Callable[[Json], None]:
    def change(case: Json) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        at: Any = case
        for part in parents:
            at = at[part]
        at[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        (put("Scenario.Cash", float("nan")), document_errors.NotADecimal, "Scenario.Cash"),
        (put("Scenario.Cash", "NaN"), document_errors.NotADecimal, "Scenario.Cash"),
        (put("Scenario.Cash", "Infinity"), document_errors.NotADecimal, "Scenario.Cash"),
        (put("Scenario.Cash", float("-inf")), document_errors.NotADecimal, "Scenario.Cash"),
        (put("Scenario.Cash", True), document_errors.NotADecimal, "Scenario.Cash"),
        (put("Scenario.Cash", None), document_errors.NotADecimal, "Scenario.Cash"),
        (put("Scenario.Cash", "1e999"), document_errors.OutOfRange, "Scenario.Cash"),
        (put("Scenario.Options.1.MarkVol", "-0.1"), document_errors.NegativeVolatility, "Scenario.Options[1].MarkVol"),
        (put("Scenario.Options.1.Expiry", 0), errors.UnpricedInstrument, "Scenario.Options[1].Expiry"),
        (put("Scenario.OptionFeeds.1.FeedExpiry", -1), errors.ExpiredInstrument, "Scenario.OptionFeeds[1].FeedExpiry"),
        (put("Scenario.Options.1.MarkVol", "1000.1"), document_errors.OutOfRange, "Scenario.Options[1].MarkVol"),
        (put("Scenario.Options.1.Expiry", "-5"), errors.ExpiredInstrument, "Scenario.Options[1].Expiry"),
        (put("Scenario.Options.1.Expiry", 86401), errors.UnpricedInstrument, "Scenario.Options[1].Expiry"),
        (put("Scenario.Options.0.IsCall", 2), document_errors.OutOfRange, "Scenario.Options[0].IsCall"),
        (put("Scenario.Options.0.Strike", 0), document_errors.NonPositivePrice, "Scenario.Options[0].Strike"),
        (put("Scenario.OptionFeeds.0.Forward", 0), document_errors.NonPositivePrice, "Scenario.OptionFeeds[0].Forward"),
        (
            lambda c: c["Scenario"]["OptionFeeds"].append(feed(DAY, 1502)),
            document_errors.DuplicateId,
            "Scenario.OptionFeeds[2].FeedExpiry",
        ),
        (
            lambda c: c["Scenario"]["Options"].append(option(DAY, 1500, 0, "0.7", 1)),
            document_errors.DuplicateId,
            "Scenario.Options[2].MarkVol",
        ),
        (lambda c: c["Scenario"].pop("StablePrice"), document_errors.MalformedDocument, "Scenario.StablePrice"),
        (
            lambda c: c["Scenario"].update(NumPerps=1, PerpPrice=0),
            document_errors.NonPositivePrice,
            "Scenario.PerpPrice",
        ),
        (put("Scenario.StablePrice", 0), document_errors.NonPositivePrice, "Scenario.StablePrice"),
        (put("Scenario.SpotConfidence", "1.1"), document_errors.OutOfRange, "Scenario.SpotConfidence"),
        (put("Scenario.Collaterals.0.Amount", -1), document_errors.NegativeHolding, "Scenario.Collaterals[0].Amount"),
        (
            put("Scenario.Collaterals.0.IMHaircut", "1.5"),
            document_errors.OutOfRange,
            "Scenario.Collaterals[0].IMHaircut",
        ),
        (lambda c: c.pop("Parameters"), document_errors.MalformedDocument, "Parameters"),
        (
            lambda c: c["Parameters"]["Margin"].pop("IM_LOSS_FACTOR"),
            document_errors.MalformedDocument,
            "Parameters.Margin.IM_LOSS_FACTOR",
        ),
        (
            put("Parameters.Scenarios.0.VolShockDirection", "Sideways"),
            document_errors.MalformedDocument,
            "Parameters.Scenarios[0].VolShockDirection",
        ),
        (put("Parameters.Scenarios", []), document_errors.MalformedDocument, "Parameters.Scenarios"),
        (put("Parameters.SkewShock.MIN_K_STAR", -1), document_errors.OutOfRange, "Parameters.SkewShock.MIN_K_STAR"),
        (put("Parameters.VolShock.DTE_FLOOR", "-0.1"), document_errors.OutOfRange, "Parameters.VolShock.DTE_FLOOR"),
        (
            put("Scenario.OptionFeeds.0.OptionVolConfidences", [1, 2]),
            document_errors.OutOfRange,
            "Scenario.OptionFeeds[0].OptionVolConfidences",
        ),
    ],
)
def test_a_bad_case_is_refused_by_name(change: Callable[[Json], object], error: type[Exception], field: str) -> None:
    case = good()
    change(case)
    with pytest.raises(error) as caught:
        Pmrm2Case.parse(case)
    assert isinstance(caught.value, document_errors.DocumentError)
    assert caught.value.field == field


def test_unknown_fields_are_ignored_and_spellings_of_a_number_are_equal() -> None:
    case = good()
    plain = pmrm2_margin(Pmrm2Case.parse(case)).initial_excess
    case["Scenario"] |= {"Owner": [float("nan")], "StablePrice": 1.0, "SpotPrice": "1.5e3"}
    case["Parameters"]["Margin"]["COMMENT"] = {}
    case["Scenario"]["OptionFeeds"][0] |= {"FeedExpiry": "604800.0", "OptionVolConfidences": ["1", 0.9]}
    case["Scenario"]["Collaterals"][0]["IsRiskCancelling"] = False
    assert pmrm2_margin(Pmrm2Case.parse(case)).initial_excess == plain
