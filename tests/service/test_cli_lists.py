"""Lists of commands: tables, JSON, watching, bundles that are saved, and many that are verified at once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.operator.accounts import enrolment
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import USUAL_ALLOWANCES

from .documents import FUND
from .stages import Stages
from .test_cli_operator import Office, serving
from .world import World

pytestmark = pytest.mark.long

HOSTILE = "[bold]<b>&\"'[/]"


@pytest.fixture
def world(world_at: Callable[[str], World]) -> World:
    return world_at("fall-done")


def test_lists_are_tables_or_json(world: World) -> None:
    enrolment.admit(world.operator, "odd", HOSTILE, Identity.generate().public_key, USUAL_ALLOWANCES, None)
    with serving(world) as office:
        table = office.call("accounts").stdout
        assert "Accounts" in table
        assert FUND in table
        # As it is, not as the console's markup.
        assert "[bold]" in table
        runs = office.printed("runs", "--json")["runs"]
        assert [(run["run_id"], run["state"]) for run in runs] == [(f"{FUND}.2", "settled"), (f"{FUND}.1", "covered")]
        assert all(f"{FUND}.{number}" in office.call("runs").stdout for number in (1, 2))
        assert office.printed("runs", "--institution", "odd", "--json") == {"runs": []}
        assert "nothing yet" in office.call("runs", "--institution", "odd").stdout
        ledger = office.call("ledger").stdout
        assert f"{FUND}/posted" in ledger
        assert "Sums over all" in ledger


def test_a_watch_prints_changes_and_ends_well(world: World, tmp_path: Path) -> None:
    with serving(world) as office:
        command = [sys.executable, "-m", "atomic_margin", "operator", "accounts", "--watch"]
        command += ["--dir", str(office.directory), "--operator", office.url]
        said = tmp_path / "said"
        with said.open("wb") as output:
            watching = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=os.environ)

        def lines(count: int) -> list[str]:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and len(said.read_text().splitlines()) < count:
                time.sleep(0.05)
            return said.read_text().splitlines()

        (first,) = lines(1)
        assert f"account={FUND}" in first
        enrolment.admit(world.operator, "odd", "Odd", Identity.generate().public_key, USUAL_ALLOWANCES, None)
        assert lines(2)[1].startswith("account=odd name=Odd state=admitted")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 0
        assert len(said.read_text().splitlines()) == 2


def test_bundles_are_listed_and_saved_once_cosigned(world: World, tmp_path: Path) -> None:
    with serving(world) as office:
        assert office.printed("bundles", "--json") == {"bundles": [f"{FUND}.2", f"{FUND}.1"]}
        # Nobody publishes checkpoints here, so no bundle is in one.
        waiting = office.call("bundles", "--save", str(tmp_path / "saved"))
        assert waiting.exit_code == 1
        assert f"{FUND}.1: not in a cosigned checkpoint yet" in waiting.stdout
        assert list((tmp_path / "saved").iterdir()) == []
        for name in ("../escape", "a/b", ""):
            refused = office.call("bundles", name, "--save", str(tmp_path / "saved"))
            assert (refused.exit_code, "is no name of a run" in refused.stderr) == (2, True)


def verify(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.stdout


def test_many_bundles_are_verified_at_once(stages: Stages, tmp_path: Path) -> None:
    folder, trust = tmp_path / "bundles", tmp_path / "trust.json"
    folder.mkdir()
    trust.write_text(json.dumps(stages.trust))
    for name in ("calm", "fall"):
        (folder / f"{name}.json").write_text(json.dumps(stages.bundles[name]))
    status, said = verify(folder, "--trust", trust)
    assert (status, "2 of 2 valid" in said) == (0, True)

    (folder / "<script>alert(1)<.json").write_text("{}")
    page = tmp_path / "page.html"
    status, said = verify(folder, tmp_path / "missing.json", "--trust", trust, "--html", page)
    assert (status, "2 of 4 valid" in said) == (1, True)
    # All verdicts on one output, the bad ones too.
    assert said.count("✓") == said.count("✗") == 2
    text = page.read_text()
    assert "<script" not in text
    assert "2 of 4 valid" in text
    assert text.count("NOT VALID") == 2
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text

    status, said = verify(folder, "--trust", trust, "--json")
    found = json.loads(said)
    assert (status, found["valid"]) == (1, False)
    assert [one["valid"] for one in found["files"]] == [False, True, True]
    status, said = verify(folder / "<script>alert(1)<.json", "--trust", trust)
    assert (status, said.startswith("✗ (1) format")) == (1, True)


@pytest.mark.parametrize(("words", "found"), [("atomic-margin op", "operator"), ("atomic-margin operator run", "runs")])
def test_command_lines_are_completed(words: str, found: str) -> None:
    environment = {
        **os.environ,
        "_ATOMIC_MARGIN_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "atomic_margin"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [found]


def test_completion_is_installed(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "atomic_margin", "--install-completion", "bash"]
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    assert "atomic-margin" in (tmp_path / ".bash_completions" / "atomic-margin.sh").read_text()


def test_an_office_is_found_by_its_folder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address comes from the environment or the folder's file, unless somebody says one."""
    with serving(world) as office:
        port = office.url.rpartition(":")[2]
        (office.directory / "atomic-margin.toml").write_text(f"[operator]\nport = {port}\n")
        found = CliRunner().invoke(app, ["operator", "runs", "--json", "--dir", str(office.directory)])
        assert found.exit_code == 0, found.output
        monkeypatch.chdir(office.directory)
        assert CliRunner().invoke(app, ["operator", "runs", "--json"]).exit_code == 0
        monkeypatch.setenv("ATOMIC_MARGIN_OPERATOR_PORT", "9")
        assert CliRunner().invoke(app, ["operator", "runs", "--json"]).exit_code == 2
        assert Office(office.directory, office.url).printed("runs", "--json")["runs"]
