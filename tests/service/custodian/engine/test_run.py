"""What the parent makes of a process: of its line, its silence, its flood and its staying."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atomic_margin.service.custodian.engine import run
from atomic_margin.service.custodian.engine.errors import (
    EngineError,
    EngineFailed,
    EngineStalled,
    EngineTaskInvalid,
    EngineUnavailable,
    PeerLost,
)
from atomic_margin.service.custodian.engine.task import Verdict
from tests.service.custodian.engine.present import present

ONE = present((1, 2, 4), 2, (5, 6), (7,), seconds=1)[0]
COVERED = {"breach": False, "maintenance_row": None, "initial_row": None}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that runs in place of the engine."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(run, "_PROGRAM", "another_engine")
    monkeypatch.setattr(run, "GRACE_SECONDS", 10.0)
    return tmp_path / "another_engine.py"


@pytest.mark.parametrize(
    ("line", "verdict"),
    [(COVERED, Verdict(False)), ({"breach": True, "maintenance_row": 3, "initial_row": 0}, Verdict(True, 3, 0))],
)
def test_a_verdict_is_read(program: Path, line: dict[str, object], verdict: Verdict) -> None:
    program.write_text(f"print({json.dumps(line)!r})")
    assert run.run_engine(ONE.task, ONE.identity) == verdict


@pytest.mark.parametrize(
    "line",
    [
        "",
        "breach",
        "[]",
        json.dumps({**COVERED, "row": 1}),
        json.dumps({**COVERED, "breach": 0}),
        json.dumps({**COVERED, "breach": True}),
        json.dumps({**COVERED, "maintenance_row": 1}),
        json.dumps({"breach": True, "maintenance_row": True, "initial_row": 1}),
    ],
)
def test_no_verdict_is_a_failure(program: Path, line: str) -> None:
    program.write_text(f"print({line!r}, end='')")
    with pytest.raises(EngineFailed):
        run.run_engine(ONE.task, ONE.identity)


@pytest.mark.parametrize(
    ("said", "error", "points"),
    [
        ({"error": "PeerLost", "detail": "gone", "points": [4]}, PeerLost, (4,)),
        ({"error": "SystemExit", "detail": "gone", "points": []}, EngineFailed, ()),
        ({"error": "PeerLost", "detail": "gone", "points": ["4"]}, PeerLost, ()),
    ],
)
def test_a_named_error_is_raised(
    program: Path, said: dict[str, object], error: type[EngineError], points: tuple[int, ...]
) -> None:
    program.write_text(f"print({json.dumps(said)!r})")
    with pytest.raises(error, match="gone") as raised:
        run.run_engine(ONE.task, ONE.identity)
    assert type(raised.value) is error
    assert raised.value.points == points


def test_a_flood_is_ended(program: Path) -> None:
    program.write_text("while True: print('x' * 1000)")
    with pytest.raises(EngineFailed, match="more than a verdict"):
        run.run_engine(ONE.task, ONE.identity)


def _ended(pid: int) -> bool:
    # Whoever adopts it may not have waited for it yet.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_what_stays_is_ended_with_all_it_started(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "GRACE_SECONDS", 3.0)
    pids = tmp_path / "pids"
    program.write_text(
        "import os, pathlib, subprocess, time\n"
        "other = subprocess.Popen(['sleep', '60'])\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{other.pid}}')\n"
        "time.sleep(60)\n"
    )
    begun = time.monotonic()
    with pytest.raises(EngineStalled, match="was ended"):
        run.run_engine(ONE.task, ONE.identity)
    assert time.monotonic() - begun < 20
    patience = time.monotonic() + 10
    for pid in map(int, pids.read_text().split()):
        while not _ended(pid):
            assert time.monotonic() < patience
            time.sleep(0.02)


def test_a_process_has_nothing_of_the_environment(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_MARGIN_TOKEN", "a-token")
    detail = "' '.join(sorted(name for name in os.environ if not name.startswith('LC_')))"
    said = f"{{'error': 'PeerLost', 'detail': {detail}, 'points': [len(sys.argv)]}}"
    program.write_text(f"import json, os, sys\nprint(json.dumps({said}))")
    with pytest.raises(PeerLost) as raised:
        run.run_engine(ONE.task, ONE.identity)
    assert (str(raised.value), raised.value.points) == ("PYTHONPATH", (1,))


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b'{"task": {}, "certificate": "", "key": ""}', b'{"task": {}, "certificate": 1, "key": ""}'],
)
def test_the_process_names_what_is_wrong_with_its_document(document: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "atomic_margin.service.custodian.engine"],
        input=document,
        capture_output=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert (said["error"], done.stderr) == (EngineTaskInvalid.__name__, b"")


def test_without_mpyc_it_says_what_to_install() -> None:
    code = "import sys\nsys.modules['mpyc.runtime'] = None\n"
    code += "from atomic_margin.service.custodian.engine.process import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], input=ONE.document(), capture_output=True, check=True)
    said = json.loads(done.stdout)
    assert said["error"] == EngineUnavailable.__name__
    assert "pip install 'atomic-margin[custodian]'" in said["detail"]
