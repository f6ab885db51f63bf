"""A load of three institutions against real processes, evaluated in the clear, and what is refused before one."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.bench.service.figures import figures, percentiles
from atomic_margin.bench.service.load import Plan
from atomic_margin.bench.service.scene import Scene
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import ConfigurationError

from .. import postgres


def test_prices_fall_and_what_is_required_at_first_is_little_at_last() -> None:
    scene = Scene("tiny", ticks=10)
    terms = scene.terms()
    terms.check_gross_limit(scene.account(terms))
    spots = [float(scene.market(number)["underlyings"]["BTC"]["spot"]) for number in range(1, 11)]
    assert (spots[0], spots[-1]) == (100_000, 60_000)
    assert spots == sorted(spots, reverse=True)
    assert scene.market(2)["as_of"] == "2027-01-04T08:01:00Z"
    assert 150_000 < scene.required_usd(terms) < 200_000


def test_a_plan_has_limits(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--institutions is 1 to 10000, got 0"):
        Plan(institutions=0)
    with pytest.raises(ConfigurationError, match="leave it out with --database"):
        Plan(prepared=tmp_path, database="sqlite://")
    for options, said in (
        (("--profile", "tiny", "--profile", "small"), "a load has one --profile"),
        (("--database", "sqlite://", "--prepared", str(tmp_path)), "leave it out with --database"),
    ):
        result = CliRunner().invoke(app, ["bench", "service", *options])
        assert (result.exit_code, said in " ".join(result.output.split())) == (2, True)


def test_figures_are_of_what_was_recorded_and_answered() -> None:
    trace = [
        {"event": "recorded", "run_id": "a.1", "at": 11.0},
        {"event": "timed", "call": "evaluate_next", "run_id": "a.1", "seconds": 3.0, "evaluation": 2.0},
        {"event": "timed", "call": "take_answer", "run_id": "a.1", "seconds": 1.0, "proofs": 0.5},
        {"event": "recorded", "run_id": "b.1.exact", "at": 14.0},
    ]
    receipts = [
        {"run_id": "a.1", "started": 11.5, "at": 13.0, "entry": "00"},
        {"run_id": "b.1", "started": 11.5, "at": 12.0, "silent": True},
        {"run_id": "b.1.exact", "started": 14.0, "at": 15.0, "refused": "too late"},
    ]
    found: dict[str, Any] = figures({"a.1": 10.0, "b.1": 10.0}, [], trace, receipts, 10.0)
    assert found["tick_to_flag_s"] == {"p50": 1.0, "p95": 4.0, "max": 4.0, "count": 2}
    assert found["tick_to_settled_s"] == {"p50": 3.0, "p95": 3.0, "max": 3.0, "count": 1}
    assert (found["run_s"], found["run_evaluation_s"], found["run_proofs_s"], found["run_rest_s"]) == (
        4.0,
        2.0,
        0.5,
        1.5,
    )
    assert found["share_rest"] == 1.5 / 4
    assert (found["runs_per_s"], found["runs_silent"], found["answers_refused"]) == (0.1, 1, ["too late"])
    assert percentiles([]) is None
    assert found["tick_took_s"] is None


@pytest.mark.long
def test_three_institutions_and_three_ticks(tmp_path: Path) -> None:
    written = tmp_path / "load.json"
    # An operator on a server is prepared anew each time.
    kept = postgres.options(tmp_path / "operator") or ["--prepared", str(tmp_path / "prepared")]
    common = ["bench", "service", "--plain", "--profile", "tiny", "--institutions", "3", "--ticks", "3", *kept]
    common += ["--period", "1", "--breaching", "0.34", "--json", str(written)]
    result = CliRunner().invoke(app, common)
    assert result.exit_code == 0, result.output
    found = json.loads(written.read_text())
    assert found["holds"]
    assert found["drained"]
    assert found["runs_scheduled"] == 9
    assert found["runs_answered"] == found["runs_recorded"] > 0
    assert set(found["outcome_states"]) <= {"covered", "settled", "superseded"}
    assert sum(found["outcome_states"].values()) == 9
    assert found["outcome_states"]["settled"] >= 1
    assert found["answers_refused"] == []
    assert found["share_evaluation"] + found["share_proofs"] + found["share_rest"] == pytest.approx(1)
    assert found["memory"]["operator"]["peak_bytes"] > 1 << 20
    assert all(0.0 < seconds < 600.0 for seconds in found["processor_s"].values())
    assert len(found["memory"]["institutions"]) == 2
    # A server grows elsewhere.
    assert found["disk_grown_bytes"] > 0 or postgres.wanted()
    assert "plain evaluator (overhead only, nothing is encrypted)" in result.output
    assert "Lost: nothing" in result.output
    if postgres.wanted():
        return
    # What was made before the first tick serves another load of the same sizes, and none of others.
    result = CliRunner().invoke(app, [*common, "--policy", "unless_proven", "--proof-seconds", "30"])
    assert result.exit_code == 0, result.output
    again = json.loads(written.read_text())
    assert again["holds"]
    assert again["runs_silent"] == again["outcome_states"].get("not_proven", 0)
    result = CliRunner().invoke(app, [*common, "--institutions", "2"])
    assert (result.exit_code, "was made for another load" in result.output) == (2, True)
