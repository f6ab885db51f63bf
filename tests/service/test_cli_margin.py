"""`atomic-margin margin`: the outside cases through the command line, bad data refused by name, help that teaches."""

import copy
import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from atomic_margin.margin.models.pmrm2.books import pmrm2_document
from atomic_margin.service.cli.main import app

from ..margin.pmrm_cases import FIELDS, SETS, UNIT, case_of
from ..outside import outside
from .documents import EXAMPLES, full_example

Json = dict[str, Any]
# One short call, in the outside format.
SCENARIO = case_of(
    [(604800, 1500, 1, 0.8, -3), (604800, 1600, 1, 0.8, 2)],
    [(604800, 1502, 0.05)],
    Cash=5000 * UNIT,
    SVIparams=[1, 1.5, -0.1],
)
SET = SETS["vectors"] | {
    "scenarios": [{"spot": spot, "vol": vol} for spot in ("1.15", "1.00", "0.85") for vol in (1, 0, -1)]
}
SCAN = ("--model", "scan", "--example", "--market", EXAMPLES / "market-1.json")


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["margin", *map(str, arguments)])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def said(*arguments: object) -> Json:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: Json = json.loads(result.stdout)
    return found


def refused(*arguments: object) -> str:
    """The one line that says why nothing was computed, without the folders of files."""
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return re.sub(r"/\S*/(?=[\w-]+\.(?:json|csv))", "", result.stderr)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    def written(name: str, value: Any) -> Path:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return written


@pytest.fixture
def pmrm(write: Callable[[str, Any], Path]) -> Callable[..., tuple[object, ...]]:
    """Arguments for cases with changes to one scenario."""

    def arguments(cases: Json | None = None, **changes: Any) -> tuple[object, ...]:
        case = write("case.json", cases if cases is not None else {"Mine": {"Scenario": SCENARIO | changes}})
        return ("--model", "pmrm", "--case", case, "--parameters", write("sets.json", {"ours": SET}), "--set", "ours")

    return arguments


def assert_sound(found: Json) -> None:
    """The integers of a report are below the truth, in order, and its gaps add up."""
    assert found["integer"]
    for item in found["integer"]:
        for kind, part in (("initial", item), ("maintenance", item["maintenance"])):
            true, integer = found[f"{kind}_excess"], item[f"{kind}_excess"]
            assert integer <= true
            assert part["rounding_gap"] >= 0
            assert part["model_gap"] >= 0
            assert part["gap"] == pytest.approx(true - integer, abs=1e-9 * max(1.0, abs(true), found["gross"]))
        assert integer % item["maintenance"]["unit"] == 0
    assert [item["bits"] for item in found["integer"]][:2] in ([20, 32], [24, 36])


@pytest.mark.parametrize("number", range(1, 22))
def test_every_expected_field_of_the_outside_cases(number: int) -> None:
    vectors = outside("pmrm")
    file = vectors / "testAndVerifyScenarios.json"
    expected = json.loads(file.read_text())[f"Test{number}"]["Result"]
    found = said("--model", "pmrm", "--case", file, "--parameters", vectors / "parameters.json", "--set", "vectors",
                 "--name", f"Test{number}")  # fmt: skip
    assert (found["model"], found["case"]) == ("pmrm", f"Test{number}")
    for field, name in FIELDS.items():
        wanted = float(Fraction(expected[field]) / UNIT)
        assert found[name] == pytest.approx(wanted, rel=1e-8, abs=1e-8 if abs(wanted) < 1e-9 else 0), field
    assert_sound(found)


def test_a_file_of_several_cases_gives_an_object_by_name(pmrm: Any) -> None:
    arguments = pmrm({name: {"Scenario": SCENARIO, "Result": {}} for name in ("one", "two")})
    both = said(*arguments)
    assert list(both) == ["one", "two"]
    assert both["two"]["case"] == "two"
    assert said(*arguments, "--name", "two") == both["two"]
    assert "no case 'three' in the file, only 'one', 'two'" in refused(*arguments, "--name", "three")
    plain = call(*arguments)
    assert plain.stdout.count("model pmrm") == 2


def test_a_bare_scenario_and_the_only_set_need_no_name(pmrm: Any) -> None:
    arguments = pmrm({"Scenario": SCENARIO})[:-2]
    assert said(*arguments)["case"] == "case"


def test_the_second_version_brings_its_parameters(write: Any) -> None:
    given = pmrm2_document(4)
    bare = said("--model", "pmrm2", "--case", write("case.json", given))
    for name in ("initial_excess", "maintenance_excess", "mark_to_market", "min_span", "basis_contingency"):
        assert isinstance(bare[name], float)
    assert_sound(bare)
    named = said("--model", "pmrm2", "--case", write("cases.json", {"a": given, "b": given}), "--bits", 24)
    assert list(named) == ["a", "b"]
    assert named["a"]["initial_excess"] == bare["initial_excess"]
    assert named["a"]["integer"][0]["bits"] == 24
    # JSON numbers are as good as strings, and exact.
    given["Scenario"]["SpotPrice"] = float(given["Scenario"]["SpotPrice"])
    given["Scenario"]["Unknown"] = 1e-3
    again = said("--model", "pmrm2", "--case", write("case.json", given))
    assert again["initial_excess"] == bare["initial_excess"]


def test_quantities_of_eighteen_decimals_are_rounded_to_lots(pmrm: Any) -> None:
    found = said(*pmrm(OptionAmounts=[-3 * UNIT, 2123456789123456789]))
    assert "integer_problem" not in found
    assert found["initial_excess"] < found["mark_to_market"]
    for item in found["integer"]:
        assert 0 <= found["initial_excess"] - item["initial_excess"] < 1e-2 * found["initial_requirement"]


@pytest.mark.parametrize("model", ["scan", "expected_shortfall", "cross_margin"])
@pytest.mark.parametrize("bits", [20, 24])
def test_the_models_of_a_universe(model: str, bits: int) -> None:
    found = said("--model", model, *SCAN[2:], "--bits", bits)
    assert (found["model"], found["case"], found["gross_limit"]) == (model, "portfolio", 64_000_000)
    assert_sound(found)
    assert found["initial_requirement"] > found["maintenance_requirement"] > 0
    if model == "scan":
        assert found["maintenance_excess"] == pytest.approx(973027.7124794633, rel=1e-12)
    if model != "expected_shortfall":
        assert all(item["model_gap"] < 1e-6 for item in found["integer"])


def test_a_model_document_says_itself_which_model_it_is(write: Any) -> None:
    path = EXAMPLES / "expected-shortfall" / "model.json"
    assert said("--model", path, *SCAN[2:])["model"] == "expected_shortfall"
    other = write("other.json", full_example("model-scan") | {"name": "span"})
    assert "names none of the models scan, pmrm, pmrm2, expected_shortfall, cross_margin" in refused(
        "--model", other, *SCAN[2:]
    )


def test_people_get_a_table_and_what_the_gap_means() -> None:
    plain = call(*SCAN)
    assert plain.exit_code == 0
    for words in (
        "example documents, with --example: model-scan.json, portfolio.json, universe.json",
        "initial: requirement 3,859,854.82 USD, excess 33,801.03 USD, worst: crash -20% vol up",
        "maintenance: requirement 2,969,119.09 USD, excess 973,027.71 USD",
        "conservative fhe",
        "conservative fhe     24",
        "31,640.00",
        "The gap, rounding plus model",
    ):
        assert words in plain.stdout


def test_help_teaches() -> None:
    text = " ".join(call("--help").stdout.split())
    for words in ("--case case.json --parameters parameters.json --set NAME", "examples/universe.json",
                  "never exceed the true margin", "Nothing counts that you do not name", "Exit status 0"):  # fmt: skip
        assert words in text


# --- bad data


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"OptionExpiries": [-1, 604800]}, "ExpiredInstrument: case.json: Mine.Scenario.OptionExpiries[0]"),
        ({"OptionVols": [-1, UNIT]}, "NegativeVolatility: case.json: Mine.Scenario.OptionVols[0]"),
        ({"SpotPrice": 0}, "NonPositivePrice: case.json: Mine.Scenario.SpotPrice"),
        ({"ForwardsVariable": [0]}, "NonPositivePrice: case.json: Mine.Scenario.ForwardsVariable[0]"),
        ({"Base": -1}, "NegativeHolding: case.json: Mine.Scenario.Base"),
        (
            {"OptionStrikes": [1500 * UNIT] * 2, "OptionVols": [UNIT, UNIT // 2]},
            "DuplicateId: case.json: Mine.Scenario.OptionVol",
        ),
        ({"FeedExpiries": [1]}, "UnpricedInstrument: case.json: Mine.Scenario.OptionExpiries[0]"),
        ({"Cash": "12"}, "NotADecimal: case.json: Mine.Scenario.Cash"),
        ({"Cash": 10**80}, "OutOfRange: case.json: Mine.Scenario.Cash"),
        ({"Cash": 0.5}, "NotADecimal: case.json: Mine.Scenario.Cash"),
        ({"Cassh": 1}, "MalformedDocument: case.json: Mine.Scenario.Cassh"),
    ],
)
def test_a_bad_pmrm_case_is_refused_by_name(pmrm: Any, changes: Json, named: str) -> None:
    assert named in refused(*pmrm(**changes))
    assert refused(*pmrm(**changes), "--json") == refused(*pmrm(**changes))


def test_parameters_and_limits_are_refused_by_name(pmrm: Any, write: Any) -> None:
    arguments = pmrm()
    assert "UnknownId: sets.json: $: no parameter set 'theirs' here, only 'ours'" in refused(*arguments[:-1], "theirs")
    assert "GrossLimitExceeded" in refused(*arguments, "--gross-limit", 10)
    assert "give --parameters FILE and --set NAME" in refused(*arguments[:4])
    two = write("two.json", {"a": SET, "b": SET})
    assert "--set NAME is wanted, one of a, b" in refused(*arguments[:4], "--parameters", two)
    assert "--bits is 20 or 24" in refused(*arguments, "--bits", 16)
    assert "give --case FILE" in refused("--model", "pmrm2")
    assert "--market does not go with this model" in refused(*arguments, "--market", "x")
    assert "--case does not go with this model" in refused(*SCAN, "--case", "x")
    assert "--explain does not go with this model" in refused(*arguments, "--explain", "x", "y")
    assert "cannot read" in refused("--model", "absent.json", *SCAN[2:])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ('{"a": NaN}', "numbers are finite here, got NaN"),
        ('{"a": 1, "a": 2}', "a key twice"),
        ("[" * 99_999, "not JSON"),
        ('{"a": ' + "1" * 5000 + "}", "error: "),
        ('{"a": {"Scenario": 1, "Parameters": 1e999999}}', "MalformedDocument: case.json: a."),
    ],
    ids=range(6),
)
def test_what_is_no_json_is_refused(write: Any, text: str, why: str) -> None:
    assert why in refused("--model", "pmrm2", "--case", write("case.json", text))


def test_a_bad_case_of_the_second_version_is_refused_by_name(write: Any) -> None:
    given = pmrm2_document(4)

    def changed(part: str, name: str, value: Any) -> str:
        other = copy.deepcopy(given)
        other["Scenario"][part][0][name] = value
        return refused("--model", "pmrm2", "--case", write("case.json", other))

    assert "ExpiredInstrument: case.json: Scenario.Options[0].Expiry" in changed("Options", "Expiry", -1)
    assert "NegativeVolatility: case.json: Scenario.Options[0].MarkVol" in changed("Options", "MarkVol", "-0.1")
    assert "NonPositivePrice: case.json: Scenario.OptionFeeds[0].Forward" in changed("OptionFeeds", "Forward", 0)
    assert "MalformedDocument: cases.json: a.Parameters" in refused(
        "--model", "pmrm2", "--case", write("cases.json", {"a": {"Scenario": given["Scenario"]}})
    )


@pytest.fixture
def altered(write: Any) -> Callable[..., str]:
    """Why the example is refused when one of its documents is changed."""

    def why(option: str, name: str, change: Callable[[Json], object]) -> str:
        document = full_example(name)
        change(document)
        return refused(*SCAN, option, write("changed.json", document))

    return why


def _quotes(market: Json) -> Json:
    found: Json = market["underlyings"]["BTC"]["expiries"]["2026-12-25T08:00:00Z"]
    return found


def test_bad_documents_are_refused_by_name(altered: Callable[..., str]) -> None:
    def cross(market: Json) -> None:
        volatilities = _quotes(market)["volatilities"]
        lower, upper = sorted(volatilities, key=float)[:2]
        volatilities[lower] = "0.1"
        volatilities[upper] = "4"

    assert "CrossedPrices: changed.json: underlyings.BTC.expiries.2026-12-25T08:00:00Z.volatilities." in altered(
        "--market", "market-1", cross
    )
    assert "NegativeVolatility: changed.json: underlyings.BTC" in altered(
        "--market", "market-1", lambda market: _quotes(market)["volatilities"].update({"100000": "-0.5"})
    )
    assert "NonPositivePrice: changed.json: underlyings.BTC" in altered(
        "--market", "market-1", lambda market: _quotes(market).update(forward="0")
    )
    assert "UnpricedInstrument: changed.json: underlyings.BTC.expiries.2026-12-25T08:00:00Z.settlement" in altered(
        "--market", "market-1", lambda market: market.update(as_of="2026-12-25T08:00:00Z")
    )
    assert "UnpricedInstrument: changed.json: underlyings.ETH" in altered(
        "--market", "market-1", lambda market: market["underlyings"].pop("ETH")
    )
    assert "DuplicateId: changed.json: instruments[46].id" in altered(
        "--universe", "universe", lambda universe: universe["instruments"].append(universe["instruments"][0])
    )
    assert "DuplicatePosition: changed.json: lines[" in altered(
        "--portfolio", "portfolio", lambda book: book["lines"].append(book["lines"][0])
    )
    assert "UnknownInstrument: changed.json: lines[0].instrument" in altered(
        "--portfolio", "portfolio", lambda book: book["lines"][0].update(instrument="DOGE-PERP")
    )
    assert "NegativeHolding: changed.json: posted.USDC" in altered(
        "--posted", "collateral", lambda holdings: holdings["posted"].update(USDC="-1")
    )
    assert "GrossLimitExceeded" in refused(*SCAN, "--gross-limit", 20_000_000)
    assert "GrossLimitTooLarge" in refused(*SCAN, "--gross-limit", 10**15)


# --- the gap over many books, and the benchmark


def other(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


@pytest.mark.long
def test_the_gap_is_measured_on_hedged_books(tmp_path: Path) -> None:
    file = tmp_path / "gap.json"
    for model in ("pmrm2", "scan"):
        result = other("gap", "--books", 2, "--hedged", "--bits", 24, "--model", model, "--json", file)
        assert result.exit_code == 0, result.stderr
        found = json.loads(file.read_text())
        assert (found["kind"], found["measured"][0]["books"]) == ("hedged", "generated, hedged")
        assert found["measured"][0]["counted"] == 2


def test_the_gap_is_measured_for_every_model(tmp_path: Path, pmrm: Any) -> None:
    file = tmp_path / "gap.json"
    case, parameters = pmrm()[3], pmrm()[5]
    result = other("gap", "--books", 2, "--bits", 24, "--json", file, "--cases", case, "--parameters", parameters)
    assert result.exit_code == 0, result.output
    found = json.loads(file.read_text())["measured"]
    assert [(item["model"], item["books"]) for item in found] == [
        ("scan", "generated"),
        ("pmrm", "generated"),
        ("pmrm2", "generated"),
        ("expected_shortfall", "generated"),
        ("cross_margin", "generated"),
        ("pmrm", "cases"),
    ]
    for item in found:
        assert item["counted"] + item["skipped"] == (2 if item["books"] == "generated" else 1)
        assert {line["bits"] for line in item["percent"]} == {24, 36}
        assert all(line[part]["worst"] >= 0 for line in item["percent"] for part in ("rounding", "model"))
    assert "| conservative, fhe | 24 |" in result.stdout
    assert other("gap", "--model", "span").exit_code == 2


def test_the_benchmark_says_what_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    result = other("bench", "margin", "--instruments", 20, "--rows", 5, "--runs", 1, "--json", file)
    assert result.exit_code == 0
    found = json.loads(file.read_text())
    assert [item["model"] for item in found["measured"]] == ["scan", "expected_shortfall", "pmrm"]
    assert all(item["wanted_s"] == 0.275 and item["warm_s"] > 0 for item in found["measured"])
    assert "wanted, s" in result.stdout
