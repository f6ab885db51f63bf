"""`atomic-margin margin`: nothing that nobody named, and an analyst's figures as tables, JSON, CSV and a picture."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from atomic_margin.margin.analysis import FACTORS
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.pmrm2.books import pmrm2_document

from ..outside import outside
from .documents import EXAMPLES, full_example
from .test_cli_margin import Json, call, refused, said

EXAMPLE = ("--model", "scan", "--example")
TICKS = (EXAMPLES / "market-1.json", EXAMPLES / "market-2.json")
TRADES = "instrument,side,lots,price,funding_index,fee\nBTC-PERP,sell,780,97000,0,100\n"
LONG: Json = {
    "format": "atomic-margin/portfolio/2",
    "lines": [{"instrument": "BTC-PERP", "side": "long", "lots": "300", "price": "100050", "funding_index": "0"}],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    def written(name: str, value: Any) -> Path:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return written


# --- what nobody quoted is marked


def test_interpolated_volatilities_are_marked(write: Any) -> None:
    assert "interpolated" not in said(*EXAMPLE)
    assert "interpolated" not in call(*EXAMPLE).stdout
    prices = full_example("market-1")
    expiry = "2026-12-25T08:00:00Z"
    smile = prices["underlyings"]["BTC"]["expiries"][expiry]["volatilities"]
    del smile["120000"], smile["100000"]
    path = write("thin.json", prices)
    found = said(*EXAMPLE, "--market", path)["interpolated"]
    assert [(one["market"], one["underlying"], one["expiry"], one["strike"]) for one in found] == [
        ("thin", "BTC", expiry, "100000"),
        ("thin", "BTC", expiry, "120000"),
    ]
    assert found[1]["volatility"] == float(smile["110000"])
    plain = call(*EXAMPLE, "--market", path).stdout
    assert f"interpolated, no quote in thin: BTC {expiry} 120000 at {float(smile['110000']):.4f}" in plain
    # Between two ticks it is said of which prices.
    explained = said(*EXAMPLE, "--explain", path, TICKS[1])["interpolated"]
    assert {one["market"] for one in explained} == {"thin"}


def test_an_expiry_without_a_quote_is_refused(write: Any) -> None:
    prices = full_example("market-1")
    prices["underlyings"]["BTC"]["expiries"]["2026-12-25T08:00:00Z"]["volatilities"] = {}
    assert "no strike has a quote" in refused(*EXAMPLE, "--market", write("bare.json", prices))


# --- the minimum transfer amount


def test_what_is_missing_below_the_minimum_transfer_amount_is_no_call(write: Any) -> None:
    def account(name: str, model: str) -> tuple[object, ...]:
        folder = outside("desk") / "14-minimum-transfer-amount"
        # Portfolios of the cases have no trade prices: this is the book of all of them, bought at the reference price.
        named = (f"--{one}" for one in ("universe", "market", "schedule"))
        files = (folder / f"{one}.json" for one in ("universe", "market", "schedule"))
        documents = (item for pair in zip(named, files, strict=True) for item in pair)
        return ("--model", folder / f"{model}.json", *documents, "--posted", folder / f"posted-{name}.json")

    book = {**LONG, "lines": [{**LONG["lines"][0], "lots": "10"}]}
    path = write("ten.json", book)
    rest = ("--portfolio", path, "--gross-limit", 64_000_000)
    below = "below the minimum transfer amount: no call"
    short = account("short_by_1_USD_MTA_100k", "model-mta100000")
    assert f"maintenance deficit 1.00 USD: {below}" in call(*short, *rest).stdout
    assert said(*short, *rest)["call"] == {
        "due": False, "amount": 0.0, "minimum_transfer_amount": 100_000.0, "text": below}  # fmt: skip
    found = said(*account("short_by_1_USD_MTA_0_G_41m", "model-mta0"), *rest)["call"]
    assert (found["due"], found["amount"]) == (True, 6124.0)
    covered = account("exactly_covered_MTA_100k", "model-mta100000")
    assert "maintenance deficit" not in call(*covered, *rest).stdout
    assert said(*covered, *rest)["call"]["text"] == "maintenance margin is met: no call"


# --- nothing that nobody named


def test_what_is_not_named_is_asked_for() -> None:
    asked = refused("--model", "scan")
    for option in ("model", "portfolio", "market", "universe", "schedule", "posted", "gross-limit"):
        assert f"--{option} " in asked
    assert "posted FILE, what is posted, or none" in asked
    assert "With --example, what is not given is that of examples/" in asked
    named = ("--model", EXAMPLES / "model-scan.json", "--portfolio", EXAMPLES / "portfolio.json")
    named += ("--market", TICKS[0], "--universe", EXAMPLES / "universe.json")
    asked = refused(*named)
    assert "--portfolio" not in asked
    assert all(f"--{option} " in asked for option in ("schedule", "posted", "gross-limit"))
    named += ("--schedule", EXAMPLES / "collateral-schedule.json", "--posted", EXAMPLES / "collateral.json")
    assert "--gross-limit USD" in refused(*named)
    whole = said(*named, "--gross-limit", 64_000_000)
    assert "examples" not in whole
    assert {**whole, "examples": said(*EXAMPLE)["examples"]} == said(*EXAMPLE)


def test_example_documents_are_said() -> None:
    used = said("--model", "scan", "--example", "--posted", "none")["examples"]
    assert used == ["model-scan.json", "portfolio.json", "market-1.json", "universe.json", "collateral-schedule.json",
                    "institution.json"]  # fmt: skip
    found = said("--model", "cross_margin", "--example", "--gross-limit", 10**8)["examples"]
    assert "cross-margin/model.json" in found
    assert "cross-margin/pools.json" in found
    assert "there is no example of the model pmrm" not in refused("--model", "pmrm")


def test_nothing_posted_is_no_collateral(write: Any) -> None:
    for model in ("scan", "expected_shortfall", "cross_margin"):
        found = said("--model", model, "--example", "--posted", "none", "--ladder")
        assert found["collateral"] == 0
        assert found["initial_excess"] == pytest.approx(found["profit"] - found["initial_requirement"], rel=0.2)


def test_collateral_of_an_example_is_never_counted(write: Any) -> None:
    """A case from the trade: 4,205,360 USD of example collateral hid a deficit of 795,990."""
    folder = outside("desk") / "25-example-collateral-counted"
    named = (
        "--model",
        folder / "model.json",
        "--universe",
        folder / "universe.json",
        "--market",
        folder / "market.json",
    )
    named += ("--portfolio", write("book.json", LONG))
    assert "--posted FILE, what is posted, or none" in refused(*named)
    schedule = EXAMPLES / "collateral-schedule.json"
    found = said(*named, "--schedule", schedule, "--posted", "none", "--gross-limit", 64_000_000)
    assert round(found["initial_excess"], 2) == -795_990
    assert "initial: requirement 795,990.00 USD, deficit 795,990.00 USD" in call(
        *named, "--schedule", schedule, "--posted", "none", "--gross-limit", 64_000_000
    ).stdout  # fmt: skip


# --- figures


def test_every_analysis_at_once(write: Any, tmp_path: Path) -> None:
    table, picture = tmp_path / "figures.csv", tmp_path / "ladder.svg"
    trades = write("trades.csv", TRADES)
    asked = (*EXAMPLE, "--ladder", "--contributions", "--what-if", trades, "--csv", table, "--plot", picture)
    found = said(*asked)
    assert "integer" not in found
    rungs = found["ladder"]["rungs"]
    assert len(rungs) == 24
    for kind in KINDS:
        excess = found[f"{kind}_excess"]
        parts = found["contributions"][kind]["parts"]
        assert min(rung[kind] for rung in rungs) == pytest.approx(excess)
        assert sum(part["amount"] for part in parts) == pytest.approx(excess, abs=1e-6)
        assert found["what_if"]["before"]["excess"][kind] == excess
        assert found["what_if"]["after"]["excess"][kind] != excess
    assert parts[0] == {"what": "line", "name": "BTC-PERP", "side": "long", "lots": 780,
                        "profit": parts[0]["profit"], "amount": parts[0]["amount"]}  # fmt: skip
    assert "BTC-PERP" not in {line["instrument"] for line in found["what_if"]["book"]["lines"]}
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["table"] for row in rows} == {"margin", "ladder", "contributions", "what_if"}
    assert [row["item"] for row in rows if row["table"] == "ladder"][:2] == ["now", "spot 0% vol up"]
    (least,) = [row for row in rows if row["table"] == "ladder" and row["item"] == found["worst"]]
    assert float(least["maintenance"]) == found["maintenance_excess"]
    assert all("e" not in row[kind].lower() for row in rows for kind in KINDS)
    plain = call(*asked).stdout
    for words in ("what is left in every scenario", "crash -20% vol up", "BTC-PERP long 780", "excess after"):
        assert words in plain


def test_the_picture_has_a_bar_for_every_scenario(tmp_path: Path) -> None:
    picture = tmp_path / "ladder.svg"
    assert call(*EXAMPLE, "--market", TICKS[1], "--plot", picture).exit_code == 0
    svg = ElementTree.parse(picture)  # noqa: S314  # our own
    bars = svg.findall(".//{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 1 + 2 * 25
    texts = [item.text for item in svg.findall(".//{http://www.w3.org/2000/svg}text")]
    assert "crash -20% vol up" in texts
    assert "-1,155,886" in texts
    assert "name a file that ends in .svg" in refused(*EXAMPLE, "--plot", tmp_path / "ladder.png")


def test_a_change_between_two_ticks_adds_up(tmp_path: Path) -> None:
    table = tmp_path / "figures.csv"
    found = said(*EXAMPLE, "--explain", *TICKS, "--csv", table)["explain"]
    for kind in KINDS:
        said_ = found[kind]
        assert list(said_["effects"]) == sorted(FACTORS)
        cents = [round(100 * amount) for amount in (*said_["effects"].values(), said_["residual"])]
        assert sum(cents) == round(100 * said_["change"]) == round(100 * (said_["after"] - said_["before"]))
    rows = [row for row in csv.DictReader(table.read_text().splitlines()) if row["table"] == "explain"]
    assert [row["item"] for row in rows] == ["excess before", *FACTORS, "only together", "excess after", "change"]
    assert rows[1]["maintenance"] == "-1057166.41"
    assert "changed from market-1 to market-2, one factor at a time" in call(*EXAMPLE, "--explain", *TICKS).stdout


def test_a_change_has_everything_that_changed(write: Any) -> None:
    later = {
        "--to-portfolio": write("after.csv", TRADES.replace("sell,780", "buy,10")),
        "--to-posted": "none",
        "--to-model": write("model.json", full_example("model-scan") | {"initial_factor": "1.5"}),
        "--to-schedule": write("schedule.json", full_example("collateral-schedule") | {"version": "9"}),
    }
    found = said(*EXAMPLE, "--explain", *TICKS, *(word for pair in later.items() for word in pair))
    effects = found["explain"]["initial"]["effects"]
    assert {name for name, amount in effects.items() if amount} == {
        "prices", "volatility", "time", "trades", "collateral", "model"}  # fmt: skip
    assert found["case"] == "after"
    assert found["collateral"] == 0


def test_cases_have_a_ladder_alone(write: Any) -> None:
    case = write("case.json", pmrm2_document(4))
    found = said("--model", "pmrm2", "--case", case, "--ladder")
    assert min(rung["initial"] for rung in found["ladder"]["rungs"]) == pytest.approx(found["initial_excess"])
    assert "NotAnalysed: a contribution of each line is not there for pmrm2" in refused(
        "--model", "pmrm2", "--case", case, "--contributions"
    )
    two = write("cases.json", {name: pmrm2_document(4) for name in "ab"})
    assert "--plot draws one account" in refused("--model", "pmrm2", "--case", two, "--plot", case.with_suffix(".svg"))


# --- what is refused


def test_options_that_do_not_go_together() -> None:
    assert "--to-posted says what is different at B: give --explain A B" in refused(*EXAMPLE, "--to-posted", "none")
    assert "leave out --market" in refused(*EXAMPLE, "--explain", *TICKS, "--market", TICKS[0])
    assert "--example does not go with this model" in refused("--model", "pmrm2", "--example")
    assert "takes no portfolio" not in refused("--model", "pmrm2")


@pytest.mark.parametrize(
    ("text", "said_"),
    [
        (TRADES.replace("780", '"1,000"'), "NotADecimal: trades.csv, line 2, column lots: write a plain decimal"),
        (TRADES.replace("BTC-PERP", "DOGE"), "UnknownInstrument: trades.csv, line 2, column instrument: the universe"),
        (TRADES.replace("sell", "long"), "MalformedDocument: trades.csv, line 2, column side: buy or sell here"),
        (json.dumps(LONG), "MalformedDocument: trades.csv: "),
    ],
)
def test_trades_are_refused_by_place(write: Any, text: str, said_: str) -> None:
    assert said_ in refused(*EXAMPLE, "--what-if", write("trades.csv", text))


def test_too_many_lots_are_refused_by_line(write: Any) -> None:
    book = "instrument,side,lots,price,funding_index\nETH-PERP,long,1,3400,0\nBTC-PERP,long,40000,97000,0\n"
    assert "LotsTooLarge: book.csv, line 3, column lots: the columns of BTC-PERP hold at most" in refused(
        *EXAMPLE, "--portfolio", write("book.csv", book)
    )


@pytest.mark.parametrize(
    ("option", "name", "change", "said_"),
    [
        ("--schedule", "collateral-schedule", {"effective_from": "2030-01-01T00:00:00Z"},
         "ScheduleNotInForce: changed.json: effective_from"),
        ("--posted", "collateral", {"posted": {"DOGE": "1"}}, "UnknownAsset: changed.json: DOGE"),
        ("--market", "market-1", {"collateral": {}}, "UnpricedAsset: changed.json: collateral."),
        ("--market", "market-1", {"rate": 0.04}, "NotADecimal: changed.json: rate: write the number"),
        ("--model", "model-scan", {"initial_factor": "0"}, "OutOfRange: changed.json: initial_factor"),
        ("--model", "model-scan", {"scenarios": [{"label": "x", "spot": {"BTC": "0"}, "volatility": "0", "basis": "0",
                                                  "coverage": "1"}]}, "UnknownUnderlying: changed.json: scenarios[0]"),
        ("--portfolio", "portfolio", {"format": "atomic-margin/portfolio/1"},
         "MalformedDocument: changed.json: format"),
    ],
)  # fmt: skip
def test_files_are_named_where_documents_do_not_fit(
    write: Any, option: str, name: str, change: Json, said_: str
) -> None:
    changed = write("changed.json", full_example(name) | change)
    given = ("--example", option, changed) if option == "--model" else (*EXAMPLE, option, changed)
    assert said_ in refused(*given)
