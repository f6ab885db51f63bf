"""What is in deploy/: the image, the trial of all parties, the units; and that what they call is there."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from atomic_margin.service.cli.main import app
from atomic_margin.service.files import read_document
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.trust import TrustFile

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/atomic-margin/bin/atomic-margin"


def hadolint() -> str:
    beside = Path(sys.executable).parent / "hadolint"
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    assert found, "hadolint is not installed: it is among the requirements of development"
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


def require_command(words: list[str]) -> None:
    """Make sure that the command line has a command and its options."""
    group: Any = typer.main.get_command(app)
    while hasattr(group, "get_command"):
        name = words.pop(0)
        command = group.get_command(None, name)
        assert command is not None, name
        group = command
    known = set(itertools.chain.from_iterable(parameter.opts for parameter in group.params))
    required = {max(one.opts, key=len) for one in group.params if one.required and one.opts[0].startswith("--")}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, given - known
    assert required <= given, required - given


def test_the_image_is_linted() -> None:
    done = subprocess.run([hadolint(), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_nothing_secret_or_large_goes_into_the_image() -> None:
    left_out = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {".git", ".venv", "demo-out", "dist"} <= set(left_out)


def test_every_party_is_in_the_trial(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {
        "setup", "database", "witness", "operator", "admit", "institution-alpha", "institution-beta", "source-a",
        "source-b", "source-c",
    }  # fmt: skip
    for name, service in compose["services"].items():
        assert {"image", "restart"} <= set(service), name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in compose["volumes"], volume
        for other, wanted in service.get("depends_on", {}).items():
            assert other in compose["services"]
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other], other
            if wanted["condition"] == "service_completed_successfully":
                assert compose["services"][other]["restart"] == "no", other
        if name != "database":
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
    # Nothing but the operator is reached from outside, and from this machine alone.
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"operator": ["127.0.0.1:8400:8400"]}


def test_what_the_trial_calls_is_there(compose: dict[str, Any]) -> None:
    called = 0
    for service in compose["services"].values():
        command = service.get("command", [])
        words = shlex.split(command[0]) if len(command) == 1 else list(command)
        if "atomic-margin" in words:
            words = words[words.index("atomic-margin") + 1 :]
        if words[:1] in (["serve"], ["witness"], ["institution"]):
            require_command(words)
            called += 1
    assert called == 4
    for script in DEPLOY.glob("*.sh"):
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
        text = script.read_text().replace("\\\n", " ")
        for line in re.findall(r"atomic-margin ([^;&|\n>]+)", text):
            require_command([word for word in shlex.split(line) if not word.startswith("#")])


def test_the_trial_s_files_are_those_of_parties(tmp_path: Path) -> None:
    for _ in range(2):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        subprocess.run([sys.executable, str(DEPLOY / "setup.py"), str(tmp_path)], check=True, env=environment)
        shared = tmp_path / "shared"
        trust = read_document(shared / "trust.json", TrustFile.parse)
        rules = read_document(shared / "price-rules.json", PriceRules.parse)
        assert (trust.prices, len(rules.sources), rules.required) == (rules, 3, 2)
        assert set(trust.institutions) == {"alpha", "beta"}
        assert (shared / "operator.pub").read_text().strip() == trust.operator
    for key in tmp_path.glob("*/*.key"):
        assert key.stat().st_mode & 0o077 == 0, key
    assert not list(shared.glob("*.key"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_what_is_there_and_may_little(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "UMask=0077",
        "KillMode=mixed",
    ):
        assert f"{line}\n" in text
    start = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert start is not None
    words = start[1].split()
    assert words[0] == PROGRAM
    require_command([word for word in words[1:] if not word.startswith("$OPTIONS")])
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: the unit's own form is not checked")
    other = tmp_path / unit.name
    other.write_text(text.replace(PROGRAM, "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(other)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_the_image_is_built_and_runs(tmp_path: Path) -> None:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not here: the image is not built")
    identity = tmp_path / "image"
    subprocess.run(
        ["buildah", "build", "--iidfile", str(identity), "--file", str(DEPLOY / "Dockerfile"), str(ROOT)], check=True
    )
    container = subprocess.run(
        ["buildah", "from", identity.read_text()], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        command = ["buildah", "run", container, "--", "atomic-margin", "--version"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
        assert shown.stdout.startswith("atomic-margin ")
    finally:
        subprocess.run(["buildah", "rm", container], check=True)
