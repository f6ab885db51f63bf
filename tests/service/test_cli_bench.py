"""`atomic-margin bench`: what it writes for machines."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli import bench_zk
from atomic_margin.service.cli.main import app
from atomic_margin.zk.prove.benchmark import Size


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
