"""What cannot be proven is refused before anything is made, with the number."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import DEFAULT, GRID, Profile
from atomic_margin.service.cli import serve
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import write_json
from atomic_margin.service.protocol import ceilings
from atomic_margin.service.protocol.ceilings import DIMENSION, instruments_of, proof_bits, require_provable
from atomic_margin.service.protocol.signing import Identity

from .documents import example, price_rules


@pytest.mark.parametrize("profile", GRID.values(), ids=lambda profile: profile.name)
def test_every_published_profile_can_be_proven(profile: Profile) -> None:
    require_provable(profile)
    assert layout_of(profile).messages["input"].dimension <= DIMENSION


@pytest.fixture
def short_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as proofs ended at 16,384 bits, the profile of 512 entries could not be proven."""
    monkeypatch.setattr(ceilings, "MAX_BITS", 16_384)


@pytest.mark.usefixtures("short_proofs")
def test_what_takes_more_than_a_proof_holds_is_refused_with_the_number() -> None:
    require_provable(GRID["256x24x24"])
    assert proof_bits(GRID["512x24x20"]) == DIMENSION + 512 * (5 + 18 + 1 + 12)
    with pytest.raises(ConfigurationError) as caught:
        require_provable(GRID["512x24x20"])
    assert str(caught.value) == (
        "profile '512x24x20' cannot be proven: 512 entries and 24 rows of 20 bits take 20480 bits and 12288 cells in "
        "one proof, which holds 16384 and 1048576; choose a smaller profile, with which an account covers fewer "
        "instruments"
    )


def test_the_largest_profile_that_there_may_be_can_be_proven() -> None:
    require_provable(replace(DEFAULT, name="largest", entries=4096, rows=64, bits=24))


def test_instruments_are_what_is_left_of_the_columns() -> None:
    assert [instruments_of(GRID[name]) for name in ("16x16x16", "512x24x20", "1024x64x24")] == [3, 127, 255]
    assert instruments_of(GRID["256x24x24"], digits=3) == 42


@pytest.mark.usefixtures("short_proofs")
def test_serve_refuses_at_its_start(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"

    write_json(rules, price_rules(Identity.generate()).canonical())
    files = []
    for name, file in (("model", "model-scan"), ("universe", "universe"), ("schedule", "collateral-schedule")):
        write_json(tmp_path / f"{name}.json", example(file))
        files += [f"--{name}", str(tmp_path / f"{name}.json")]
    result = CliRunner().invoke(
        serve.app, ["--dir", str(tmp_path / "operator"), "--price-rules", str(rules), *files, "--profile", "512x24x20"]
    )
    assert result.exit_code == 2
    assert "profile '512x24x20' cannot be proven" in result.output
    assert not (tmp_path / "operator").exists()
