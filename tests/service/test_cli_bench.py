"""`atomic-margin bench`: what it writes for machines."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atomic_margin.bench.service import opening
from atomic_margin.bench.zk.benchmark import Size
from atomic_margin.service.cli import bench_zk
from atomic_margin.service.cli.main import app


def test_bench_zk_writes_a_list_of_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_zk, "SIZES", (Size("portfolio", 8, 0, 5), Size("sufficiency", 8, 4, 20)))
    written = tmp_path / "zk.json"
    result = CliRunner().invoke(app, ["bench", "zk", "--runs", "1", "--json", str(written)])
    assert result.exit_code == 0, result.output
    figures = json.loads(written.read_text())
    assert [figure["statement"] for figure in figures] == ["portfolio", "sufficiency"]
    for figure in figures:
        assert set(figure) == {"statement", "entries", "rows", "bits", "backend", "prove_s", "verify_s", "bytes"}
        assert figure["prove_s"] > 0
        assert figure["verify_s"] > 0
        assert figure["bytes"] > 500


def test_bench_opening_writes_figures_beside_what_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpyc")
    monkeypatch.setattr(opening, "SIZES", (opening.Size((1, 2, 4), 2, rows=2, bits=8, wanted_s=4.0),))
    written = tmp_path / "opening.json"
    result = CliRunner().invoke(app, ["bench", "opening", "--runs", "1", "--json", str(written)])
    assert result.exit_code == 0, result.output
    assert "3 present, threshold 2, 2 + 2 rows of 8 bits, covered" in result.output
    figures = json.loads(written.read_text())
    assert [one["breach"] for one in figures["measured"]] == [False, True]
    assert all(one["seconds"] > 0 for one in figures["measured"])


ROWS = """
from atomic_margin.circuits import circuit_by_name, define
from dataclasses import replace

define(replace(circuit_by_name("surplus"), name="rows_again", program=lambda profile: lambda z, A, c: A @ z + c))
"""


@pytest.fixture
def circuit_file(tmp_path: Path) -> Path:
    path = tmp_path / "rows_again.py"
    path.write_text(ROWS.replace("rows_again", f"rows_{abs(hash(tmp_path))}"))
    return path


@pytest.mark.long
@pytest.mark.fhe
def test_bench_fhe_measures_a_circuit_of_a_file_at_every_size(circuit_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written, plots, page = tmp_path / "fhe.json", tmp_path / "plots", tmp_path / "page.md"
    options = ["--profile", "small", "--scaling", "bits", "--runs", "1", "--trials", "3"]
    files = ["--circuit-file", str(circuit_file), "--json", str(written), "--plot", str(plots)]
    result = CliRunner().invoke(app, ["bench", "fhe", *options, *files])
    assert result.exit_code == 0, result.output
    assert "met: no wrong result: 0 of 9 trials" in result.output
    found = json.loads(written.read_text())
    assert [(one["entries"], one["rows"], one["bits"]) for one in found] == [(16, 16, bits) for bits in (16, 20, 24)]
    for figures in found:
        assert (figures["trials"], figures["wrong"], figures["bootstraps"]) == (3, 0, 0)
        assert min(figures[stage] for stage in ("compile_s", "keygen_s", "cold_s", "warm_s")) > 0
        assert figures["machine"]["cores"] > 0
        assert figures["libraries"]["concrete-python"] == "2.11.0"
    assert {path.name for path in plots.iterdir()} == {"scaling-bits.svg", "scaling-bits.png"}

    result = CliRunner().invoke(app, ["bench", "report", str(written), "--out", str(page)])
    assert result.exit_code == 0, result.output
    assert "### 16x16x24" in page.read_text()


def test_bench_fhe_names_the_extra_that_charts_need(
    circuit_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    options = ["--profile", "small", "--runs", "1", "--circuit-file", str(circuit_file), "--plot", str(tmp_path)]
    result = CliRunner().invoke(app, ["bench", "fhe", *options])
    assert result.exit_code == 2
    assert "bench fhe needs the extra bench: pip install 'atomic-margin[fhe,bench]'" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fhe", "--circuit", "unknown"], "no circuit named 'unknown'"),
        (["fhe", "--profile", "unknown"], "no profile named 'unknown'"),
        (["fhe", "--circuit-file", "unknown.py"], "unknown.py"),
        (["report", "pyproject.toml", "--out", "unwritten.md"], "pyproject.toml is not JSON"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output
