"""Cases from the trade, of the models of cases: the one that is there, and accounts of our own of the same kind.

Every expected number is computed by the scalar implementations of `test_pmrm` and `test_pmrm2`.
"""

import copy
import json
import math
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from atomic_margin.bench.gap import AccountExcess, measure_case
from atomic_margin.margin.errors import ExpiredInstrument
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.pmrm2.rules import Pmrm2Rules
from atomic_margin.service.cli.main import app

from ..outside import outside
from . import pmrm_cases, test_pmrm
from .pmrm2_cases import DAY, SCENARIO, Json, feed, option, parameters
from .test_pmrm2 import slow

# A short one ends here that has 20 days to go, in the terms of the cases from the trade.
MONTH = 30 * DAY


def read(name: str) -> Json:
    """A file of the cases from the trade, numbers as they are written."""
    found: Json = json.loads((outside("desk") / name).read_text())
    return found


def case_of(given: Json | None = None, **scenario: Any) -> Json:
    return {"Scenario": SCENARIO | scenario, "Parameters": given or parameters()}


def measured(case: Json) -> AccountExcess:
    """True and integer margin; the true one is that of the scalar implementation, the integers are below."""
    found = measure_case(Pmrm2Rules.parse_file(case, "case")["case"], (20, 24))
    expected = slow(case)
    assert found.problem is None
    for kind in KINDS:
        assert found.reference.excess[kind] == pytest.approx(expected[f"{kind}_excess"], rel=1e-9, abs=1e-7)
        assert all(gap.total >= 0 for gap in found.gaps(kind))
    assert found.reference.mark_to_market == pytest.approx(expected["mark_to_market"], rel=1e-9, abs=1e-7)
    return found


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["margin", "--model", "pmrm2", *map(str, arguments)])


def said(*arguments: object) -> Json:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: Json = json.loads(result.stdout)
    return found


# --- ranges: at expiry, floors of nothing, volatilities of thousands of percent


@pytest.mark.parametrize("name", ["21a-dte-floor-0", "22-vol-51"])
def test_ranges_of_the_cases(name: str) -> None:
    measured(read(f"{name}/case.json"))


FLOORLESS = {"VolShock": {"DTE_FLOOR": "0"}, "SkewShock": {"MIN_K_STAR": "0"}}
RANGES = {
    "at expiry": case_of(
        Options=[option(0, 1400, 1, "0.8", 3), option(0, 1600, 0, "0.8", -2)], OptionFeeds=[feed(0, "1512.5")]
    ),
    "at expiry, no floor": case_of(
        parameters(**FLOORLESS),
        Options=[option(0, 1400, 1, "0.8", -3), option(0, 1500, 0, 0, 2), option(MONTH, 1500, 1, "0.5", 1)],
        OptionFeeds=[feed(0, "1512.5", "0.05"), feed(MONTH, 1530)],
    ),
    "one second, no floor": case_of(
        parameters(**FLOORLESS),
        Options=[option(1, 1500, 1, "1000", -3), option(60, 1505, 0, "0.3", 2)],
        OptionFeeds=[feed(1, 1500), feed(60, 1500)],
        NumPerps="1.5",
    ),
    "no caps, no volatility at all": case_of(
        parameters(
            VolShock={"DTE_FLOOR": "0", "MIN_VOL_EVAL_SHOCKED": "0", "VOLRANGEUP": "0"},
            SkewShock={"MIN_K_STAR": "0", "MIN_WIDTH_SCALE": "0", "ABS_CBASE": "0", "ABS_SCALE_CAP": "0"},
            Margin={"LONG_RATE_ADDSCALE": "0", "SHORT_RATE_ADDSCALE": "0"},
        ),
        Options=[option(DAY, 1400, 1, 0, -3), option(MONTH, 1600, 0, 0, 2)],
        OptionFeeds=[feed(DAY, 1500), feed(MONTH, 1500)],
    ),
    "a thousand": case_of(
        Options=[option(60, 1500, 1, 1000, -3), option(MONTH, 1500, 0, 999, 2), option(MONTH, 1500, 1, 1000, 1)],
        OptionFeeds=[feed(60, 1500), feed(MONTH, 1500)],
        Cash=10000,
    ),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges_of_the_peers(name: str) -> None:
    measured(RANGES[name])


def test_at_expiry_an_option_is_worth_its_intrinsic_value_in_every_scenario() -> None:
    found = measured(
        case_of(Options=[option(0, 1400, 1, "0.8", 3), option(0, 1600, 0, 51, 2)], OptionFeeds=[feed(0, 1510)])
    )
    assert found.reference.mark_to_market == 3 * 110 + 2 * 90
    assert found.reference.details["basis_contingency"] == 0


def test_the_largest_powers_stay_finite() -> None:
    steep = parameters(VolShock={"DTE_FLOOR": "0", "SHORTTERMPOWER": "100", "VOLRANGEUP": "100"})
    case = case_of(steep, Options=[option(1, 1500, 1, 1000, -3)], OptionFeeds=[feed(1, 1500)])
    found = measure_case(Pmrm2Rules.parse_file(case, "case")["case"])
    assert found.problem is None
    assert all(math.isfinite(found.reference.excess[kind]) for kind in KINDS)
    # With any volatility a call is worth at most its forward.
    assert found.reference.details["min_span"] > -3 * 1500 * 1.18


PMRM_RANGES = [
    pmrm_cases.case_of([(0, 1400, 1, 0.8, -3)], [(0, 1512.5, 0.03)]),
    pmrm_cases.case_of([(0, 1400, 0, 51, 3), (1, 1500, 1, 1000, -1)], [(0, 0, 0), (1, 1500, 0)]),
    pmrm_cases.case_of([(60, 1500, 0, 51, 3), (60, 1500, 1, 1000, -1)], [(60, 1500, 0)], Perps=3 * pmrm_cases.UNIT),
]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("floor", [0, 1, DAY])
def test_the_first_version_has_the_same_ranges(number: int, floor: int) -> None:
    scenario = copy.deepcopy(PMRM_RANGES[number])
    if 0 in scenario["FeedExpiries"]:
        scenario["ForwardsFixed"][0] = pmrm_cases.whole("1490.25")
    chosen = pmrm_cases.SETS["vectors"] | {"dte_floor_seconds": floor}
    found = test_pmrm.pmrm_margin(pmrm_cases.parsed(scenario), pmrm_cases.parse_parameters({"set": chosen}, "set"))
    for name, expected in test_pmrm.slow(scenario, chosen).items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-9, abs=1e-8), name


# --- quantities of 15 to 18 decimals


def test_eighteen_decimals_of_the_case() -> None:
    found = measured(read("23-eighteen-decimals/case.json"))
    assert all(found.percent_of_requirement("initial", gap.total) or 0 < 0.3 for gap in found.gaps())


@pytest.mark.parametrize("seed", range(5))
def test_eighteen_decimals(seed: int) -> None:
    """Long and short, hedged and not, large and small: what is lost in the proof is a few lots."""
    rng = random.Random(f"decimals {seed}")
    size = 10.0 ** rng.randint(-1, 4)

    def fine() -> str:
        return f"{Decimal(rng.uniform(-size, size)):.{rng.choice([15, 17, 18])}f}"

    rows = [
        option(expiry, strike, call, "0.7", fine())
        for expiry in (7 * DAY, 90 * DAY)
        for strike in (1400, 1500, 1600)
        for call in (0, 1)
    ]
    case = case_of(Options=rows, OptionFeeds=[feed(7 * DAY, 1502), feed(90 * DAY, 1510, "0.03")], NumPerps=fine())
    found = measured(case)
    requirement = found.reference.requirement["initial"]
    for item, gap in zip(found.forms, found.gaps(), strict=True):
        if item.form == "exact":
            assert gap.total < 1e-3 * requirement


# --- one bad case in a file


def test_the_good_case_of_the_file_is_computed() -> None:
    file = outside("desk") / "24-one-bad-case" / "cases.json"
    found = said("--case", file, "--name", "tuesday")
    good = slow(read("24-one-bad-case/cases.json")["tuesday"])
    assert found["initial_excess"] == pytest.approx(good["initial_excess"], rel=1e-9)


GOOD = case_of(Options=[option(MONTH, 1400, 1, "0.7", 3)], OptionFeeds=[feed(MONTH, 1502)])
BAD: dict[str, tuple[Any, str]] = {
    "expired": (
        case_of(Options=[option(-1, 1400, 1, "0.7", 3)], OptionFeeds=[feed(MONTH, 1502)]),
        "ExpiredInstrument: expired.Scenario.Options[0].Expiry",
    ),
    "bare": ({"Scenario": GOOD["Scenario"]}, "MalformedDocument: bare.Parameters"),
    "list": ([], "MalformedDocument: list"),
    "negative": (
        case_of(Options=[option(MONTH, 1400, 1, "-0.7", 3)], OptionFeeds=[feed(MONTH, 1502)]),
        "NegativeVolatility: negative.Scenario.Options[0].MarkVol",
    ),
    "unpriced": (
        case_of(Options=[option(DAY, 1400, 1, "0.7", 3)], OptionFeeds=[feed(MONTH, 1502)]),
        "UnpricedInstrument: unpriced.Scenario.Options[0].Expiry",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("first", [True, False])
def test_a_bad_case_blocks_no_other_by_name(tmp_path: Path, name: str, first: bool) -> None:
    bad, why = BAD[name]
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({name: bad, "good": GOOD} if first else {"good": GOOD, name: bad}))
    found = said("--case", file, "--name", "good")
    assert found["initial_excess"] == pytest.approx(slow(GOOD)["initial_excess"], rel=1e-9)
    for arguments in (("--name", name), ()):
        refused = call("--case", file, *arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
        kind, field = why.split(": ")
        assert f"{kind}: {file}: {field}" in refused.stderr
    assert "no case 'other' in the file" in call("--case", file, "--name", "other").stderr


def test_a_file_of_cases_of_the_first_version_is_parsed_as_it_is_asked(pmrm_file: Path) -> None:
    arguments = ("margin", "--model", "pmrm", "--case", str(pmrm_file), "--parameters")
    sets = pmrm_file.with_name("sets.json")
    sets.write_text(json.dumps(pmrm_cases.SETS))
    found = CliRunner().invoke(app, [*arguments, str(sets), "--set", "vectors", "--name", "good", "--json"])
    assert found.exit_code == 0, found.stderr
    refused = CliRunner().invoke(app, [*arguments, str(sets), "--set", "vectors", "--name", "bad"])
    assert ExpiredInstrument.__name__ in refused.stderr


@pytest.fixture
def pmrm_file(tmp_path: Path) -> Path:
    good, bad = (
        {"Scenario": pmrm_cases.case_of([(seconds, 1400, 1, 0.8, -3)], [(604800, 1512.5, 0.03)])}
        for seconds in (604800, -1)
    )
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"bad": bad, "good": good}))
    return path


# --- a percentage of next to nothing


def box(expiry: int, low: int, high: int, size: Any, forward: Any) -> Json:
    """A short box: what it owes at expiry is known today, and nothing moves it."""
    rows = [(low, 1, -1, "0.63"), (high, 1, 1, "0.58"), (low, 0, 1, "0.63"), (high, 0, -1, "0.58")]
    held = [option(expiry, strike, call, vol, str(sign * Decimal(size))) for strike, call, sign, vol in rows]
    return {"Options": held, "OptionFeeds": [feed(expiry, forward)], "Cash": 50000}


RISKLESS = parameters(Margin={"BASE_STATIC_DISCOUNT_NEG": "1.03"})
NOTHING = {
    "a small box": box(MONTH, 1400, 1600, 1, "1503.7"),
    "a large box": box(400 * DAY, 1200, 1900, 999, "1444.1"),
    "a box of an hour": box(3600, 1490, 1500, 7, "1499.99"),
    "bought and sold": {
        "Options": [option(MONTH, 1500, 1, "0.7", 5), option(MONTH, 1500, 1, "0.7", -5)],
        "OptionFeeds": [feed(MONTH, 1502)],
    },
    "cash alone": {"Cash": 7},
}


def assert_no_percentage(arguments: tuple[object, ...]) -> None:
    found = said(*arguments)
    assert abs(found["initial_requirement"]) <= 1e-6 * max(1, found["gross"])
    for item in found["integer"]:
        assert item["gap_percent_of_requirement"] is None
        assert item["maintenance"]["gap_percent_of_requirement"] is None
    table = [line.split() for line in call(*arguments).stdout.splitlines() if line.startswith(("conserv", "exact"))]
    assert len(table) == 3
    assert {cells[-1] for cells in table} == {"-"}


def test_the_riskless_box_of_the_case_has_no_percentage() -> None:
    assert_no_percentage(("--case", outside("desk") / "29-riskless-box-percentage" / "case.json"))


@pytest.mark.parametrize("name", NOTHING)
def test_next_to_nothing_has_no_percentage(tmp_path: Path, name: str) -> None:
    case = case_of(RISKLESS, **NOTHING[name])
    assert slow(case)["initial_excess"] == pytest.approx(slow(case)["mark_to_market"], abs=1e-6)
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    assert_no_percentage(("--case", path))


def test_a_small_requirement_has_a_percentage(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case_of(NumPerps="0.001")))
    assert all(item["gap_percent_of_requirement"] > 0 for item in said("--case", path)["integer"])


# --- a loss that is not settled, on a perpetual that is held no more


def test_the_unsettled_loss_of_the_case_is_owed() -> None:
    found = measured(read("08c-flat-perp-loss-unsettled/case.json"))
    assert found.reference.excess == {"maintenance": -5200.0, "initial": -5200.0}


@pytest.mark.parametrize(
    ("profit", "funding", "held", "counts"),
    [(-9000, 0, 0, -9000), (0, -1200, 0, -1200), (500, -1200, 0, -700), (1300, -1200, 0, 0), (-10, -20, "0.5", -30)],
)
def test_an_unsettled_loss_is_owed(profit: int, funding: int, held: Any, counts: int) -> None:
    rows = {"Options": [option(MONTH, 1400, 1, "0.7", 3)], "OptionFeeds": [feed(MONTH, 1502)], "NumPerps": held}
    before = measured(case_of(**rows))
    after = measured(case_of(UnrealisedPerpPNL=profit, UnrealisedFunding=funding, **rows))
    for kind in KINDS:
        assert after.reference.excess[kind] - before.reference.excess[kind] == pytest.approx(counts, abs=1e-6)
