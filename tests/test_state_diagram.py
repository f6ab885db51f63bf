"""The state diagram of accounts in docs/protocol.md is that of the machine's table."""

import subprocess
import sys
from pathlib import Path

import pytest

from atomic_margin.service.protocol.account.table import TABLE

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def test_the_diagram_is_that_of_the_code() -> None:
    command = [sys.executable, str(SCRIPTS / "state_diagram.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_move_of_the_table_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import state_diagram

    section = PROTOCOL.split(state_diagram.START)[1].split(state_diagram.END)[0]
    drawn = [line.split(": ", 1) for line in section.splitlines() if " --> " in line]
    arrows = sum(len(kinds.split(", ")) for _, kinds in drawn)
    loops = sum(
        len(row.split("|")[2].split(", "))
        for row in section.splitlines()
        if row.startswith("| `") and "| nothing |" not in row
    )
    assert arrows + loops == sum(len(following) for following in TABLE.values())
    assert "    frozen --> active: covered, margin called, covered unasked" in section
    changed = PROTOCOL.replace("frozen --> active", "frozen --> in_default")
    assert state_diagram.written(changed) == PROTOCOL
    with pytest.raises(state_diagram.Missing, match="end of states"):
        state_diagram.written("# Protocol\n")
