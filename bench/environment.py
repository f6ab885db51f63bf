"""What a measurement must carry to be worth anything later: machine, library versions, revision."""

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("concrete-python", "numpy", "tenseal")


def environment(command: str) -> dict[str, Any]:
    """Return machine, libraries, python, git (None outside a checkout), date (UTC, ISO 8601) and the command.

    `threads` of the machine are those that an evaluation may use: `OMP_NUM_THREADS`, or every core.
    """
    threads = os.environ.get("OMP_NUM_THREADS")
    machine = {"cpu": _cpu(), "cores": os.cpu_count(), "threads": threads, "memory_bytes": _memory()}
    return {
        "machine": machine,
        "libraries": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "git": _revision(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
    }


def command_line() -> str:
    """Return how this process was called, without the directories before the program."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far.

    Not `ru_maxrss`: that of a child begins with the size its parent had.
    """
    return _kilobytes(Path("/proc/self/status"), "VmHWM:")


def _memory() -> int:
    return _kilobytes(Path("/proc/meminfo"), "MemTotal:")


def _kilobytes(path: Path, name: str) -> int:
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Return the commit, with `+changes` where the working tree differs from it; None when this file is in none."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)  # noqa: S603, S607 - our own arguments; git is wherever PATH has it
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    if revision is None or git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return revision + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
