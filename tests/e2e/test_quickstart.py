"""The path of docs/quickstart.md, run as it is written there: real processes, real FHE, the smallest profile."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atomic_margin.service.demo.processes import free_port

from .. import postgres

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "quickstart.md").read_text()
MOST_COMMANDS = 10
SECONDS = 1100
"""On a machine that compiles the circuits first and is busy besides."""


def blocks() -> list[list[str]]:
    """The commands of the page's console blocks."""
    found = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [[line for line in block.replace("\\\n", " ").splitlines() if line.strip()] for block in found]


def test_ten_commands_lead_to_a_covered_run_and_nothing_is_copied() -> None:
    first, then = blocks()
    assert 0 < len(first) <= MOST_COMMANDS
    for command in [*first, *then]:
        assert command.startswith("atomic-margin "), command
        assert not re.search(r"[0-9a-f]{16}|[A-Z]{3,}|\$|<|>|\|", command), command
    folders = {word.partition("/")[0] for command in first for word in command.split() if word.endswith(".json")}
    assert folders == {"source", "witness", "operator", "institution"}


@pytest.mark.fhe
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    first, then = blocks()
    shims = tmp_path / "bin"
    shims.mkdir()
    (shims / "atomic-margin").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m atomic_margin "$@"\n')
    (shims / "atomic-margin").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    ports = {f"ATOMIC_MARGIN_{role}_PORT": str(free_port()) for role in ("OPERATOR", "INSTITUTION", "WITNESS")}
    with postgres.operator_s_database(work / "operator"):
        environment = {**os.environ, **ports, "PATH": f"{shims}:{os.environ['PATH']}"}
    environment |= {"NO_COLOR": "1", "COLUMNS": "200"}
    look = [
        "atomic-margin operator runs --dir operator --json > runs.json",
        "atomic-margin operator accounts --dir operator --json > accounts.json",
        "atomic-margin institution runs --dir institution --json > figures.json",
    ]
    # Whatever happens, the servers end with the shell that started them.
    script = "\n".join(["set -e", "trap 'kill $(jobs -p); wait' EXIT", *first, *then, *look])
    # Files, not pipes: servers that live on would hold a pipe open. A group, so that they end with a shell that hangs.
    printed, said = tmp_path / "printed", tmp_path / "said"
    with printed.open("wb") as out, said.open("wb") as err:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=work, env=environment, stdout=out, stderr=err, start_new_session=True
        )
        try:
            status = shell.wait(timeout=SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    assert status == 0, printed.read_text() + said.read_text()
    assert "1 of 1 valid" in printed.read_text()

    (run,) = json.loads((work / "runs.json").read_text())["runs"]
    assert (run["state"], run["published"]) == ("covered", True)
    (account,) = json.loads((work / "accounts.json").read_text())["accounts"]
    assert (account["institution"], account["state"]) == ("fund", "active")
    (figures,) = json.loads((work / "figures.json").read_text())["runs"]
    assert (figures["outcome"], figures["decrypted_breach"]) == ("covered", "0")
    page = (work / "verdicts.html").read_text()
    assert "1 of 1 valid" in page
    assert "http:" not in page.replace("http-equiv", "")
    for folder in ("source", "witness", "operator", "institution"):
        public = (work / folder / "public.json").read_text()
        private = [path.read_bytes().hex() for path in (work / folder).glob("*.key")]
        assert private
        assert not any(key in public for key in private)
