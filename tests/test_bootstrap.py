"""What a newcomer meets before anything is installed: one clear sentence when the machine does not suit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def bootstrap(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(ROOT / "scripts" / "bootstrap.sh"), str(tmp_path / "venv")]
    return subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=60
    )


def test_a_wrong_python_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, PYTHON="/bin/false")
    assert done.returncode == 1
    assert "needs CPython 3.10, 3.11 or 3.12" in done.stderr
    assert "uv python install 3.12" in done.stderr
    assert "make PYTHON=/path/to/python install" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "venv").exists()


def pythons(folder: Path, **imports: str) -> str:
    """Write stand-ins for interpreters, which run the code they are given after `imports`; return a PATH with them."""
    folder.mkdir()
    for name, before in imports.items():
        program = folder / name.replace("_", ".")
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo Python 3.x && exit\n'
            f'[ "$1" = -c ] && exec {sys.executable} -c "{before}\n$2"\n'
        )
        program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_newer_python_alone_is_refused_with_how_to_get_another(tmp_path: Path) -> None:
    newer = "import sys; sys.version_info = (3, 13, 5)"
    names = dict.fromkeys(("python3", "python3_12", "python3_11", "python3_10"), newer)
    done = bootstrap(tmp_path, PYTHON="", PATH=pythons(tmp_path / "bin", **names))
    assert done.returncode == 1
    assert "needs CPython 3.10, 3.11 or 3.12; found Python 3.x" in done.stderr
    assert "uv python install 3.12" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("absent", ["venv", "ensurepip"])
def test_a_python_without_venv_is_refused_with_the_package_that_has_it(tmp_path: Path, absent: str) -> None:
    without = f"import sys; sys.modules['{absent}'] = None"
    names = dict.fromkeys(("python3", "python3_12", "python3_11", "python3_10"), without)
    done = bootstrap(tmp_path, PYTHON="", PATH=pythons(tmp_path / "bin", **names))
    assert done.returncode == 1
    assert done.stderr.startswith("python3 (Python 3.x) has no venv module")
    assert "apt install python3-venv" in done.stderr
    assert "uv python install 3.12" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "venv").exists()


def test_a_wrong_platform_is_said_in_one_sentence(tmp_path: Path) -> None:
    elsewhere = tmp_path / "bin" / "uname"
    elsewhere.parent.mkdir()
    elsewhere.write_text('#!/bin/sh\ncase "$1" in -s) echo Plan9 ;; *) echo riscv64 ;; esac\n')
    elsewhere.chmod(0o755)
    done = bootstrap(tmp_path, PATH=f"{elsewhere.parent}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "this is Plan9 on riscv64" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_lock_file_has_hashes_and_neither_torch_nor_an_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pinned) > 40
    assert all("==" in line for line in pinned)
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert not any(line.startswith(("torch", "nvidia", "--index", "--extra")) for line in pinned)
