"""Compiled modules on disk: the same module comes back, whole or not at all, from a directory of one's own only."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from atomic_margin.circuits import cache, compiling
from atomic_margin.circuits.compiling import Compiled
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.errors import CacheUnsafe, ProfileError
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.signals import kept_signal_handlers

TINY = Profile("cached", entries=2, rows=2, bits=8, weight_bits=4, functions=("surplus", "breach"))

# Compiled code is not unloaded while its threads may still run.
_kept: list[Compiled] = []


def compiled_now(profile: Profile = TINY) -> Compiled:
    """Compile or load past what this process remembers."""
    found: Compiled = compiling.compiled_module.__wrapped__(profile)
    _kept.append(found)
    return found


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv(cache.VARIABLE, str(path))
    return path


def place() -> Path:
    found = cache.entry(TINY.hash())
    assert found is not None
    return found


def test_a_loaded_module_is_the_compiled_one(directory: Path) -> None:
    fresh, loaded = compiled_now(), compiled_now()
    assert (fresh.from_cache, loaded.from_cache) == (False, True)
    assert loaded.client_specs == fresh.client_specs
    assert loaded.statistics == fresh.statistics
    assert loaded.seconds == fresh.seconds > 0
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (directory / "modules").iterdir()] == [place().name]


@pytest.mark.long
@pytest.mark.fhe
def test_a_loaded_module_evaluates_as_the_compiled_one(directory: Path) -> None:
    """Keys made for one, a ciphertext and clear inputs: both give the same, and what integers give."""
    fresh, loaded = compiled_now(), compiled_now()
    assert loaded.from_cache
    client = cfhe.Client(cfhe.ClientSpecs.deserialize(fresh.client_specs))
    client.keygen()
    z, A = np.array([3, 31]), np.array([[2, -1], [0, 1]])
    encrypted = client.encrypt(z, None, None, function_name="surplus")[0]
    breach = compiling.circuit_by_name("breach")
    for c, rows in ((np.array([25, 0]), [0, 31]), (np.array([24, 0]), [-1, 31]), (np.array([127, -128]), [102, -97])):
        for module in (fresh, loaded):
            with kept_signal_handlers():
                surplus, flag = (
                    module.server.run(
                        encrypted, A, c, *clear, evaluation_keys=client.evaluation_keys, function_name=name
                    )
                    for name, clear in (("surplus", ()), ("breach", breach.clear_inputs(TINY)))
                )
            assert client.decrypt(surplus, function_name="surplus").tolist() == rows
            assert int(client.decrypt(flag, function_name="breach")[0]) == int(min(rows) < 0)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(directory: Path, mode: int) -> None:
    """Loading a module runs its code (trap: `Server.load` treats archives as code)."""
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(CacheUnsafe, match=r"may be written by others.* run `chmod 700 "):
        compiled_now()
    assert list(directory.iterdir()) == []


def test_a_directory_of_somebody_else_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: directory.stat().st_uid + 1)
    with pytest.raises(CacheUnsafe):
        compiled_now()


def test_the_cache_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(cache.VARIABLE, "off")
    assert [compiled_now().from_cache for _ in range(2)] == [False, False]
    assert list(tmp_path.iterdir()) == []


def test_the_user_s_cache_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    assert cache.cache_directory() == tmp_path / "atomic-margin"


def test_an_error_while_storing_leaves_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:1000])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as during:
        during.setattr(cache.shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left"):
            compiled_now()
    assert list((directory / "modules").iterdir()) == []
    assert [compiled_now().from_cache for _ in range(2)] == [False, True]


DYING = """
import os
from pathlib import Path
from atomic_margin.circuits import cache
def die(source, target):
    Path(target).write_bytes(b"half")
    os._exit(9)
cache.shutil.copyfile = die
cache.store(cache.entry("ab" * 32), {"module.json": b"{}", "server.zip": Path("/")})
"""


def test_a_process_that_dies_while_storing_leaves_no_entry(directory: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DYING], timeout=60, check=False)
    assert done.returncode == 9
    found = cache.entry("ab" * 32)
    assert found is not None
    assert found.parent.is_dir()
    assert not found.exists()
    cache.store(found, {"module.json": b"{}"})
    assert (found / "module.json").read_bytes() == b"{}"


def test_who_stores_second_keeps_the_first_entry(tmp_path: Path) -> None:
    target = tmp_path / "modules" / "entry"
    cache.store(target, {"module.json": b"first"})
    cache.store(target, {"module.json": b"second"})
    assert (target / "module.json").read_bytes() == b"first"
    assert [path.name for path in target.parent.iterdir()] == ["entry"]


COMPILING = """
from atomic_margin.circuits.compiling import compiled_module
from atomic_margin.circuits.profile import Profile
profile = Profile("cached", entries=2, rows=2, bits=8, weight_bits=4, functions=("surplus", "breach"))
print(compiled_module(profile).from_cache)
"""


def test_two_processes_that_compile_at_once_both_succeed_and_leave_nothing_else(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with ThreadPoolExecutor(2) as both:
        runs = [
            both.submit(subprocess.run, [sys.executable, "-c", COMPILING], capture_output=True, timeout=120, check=True)
            for _ in range(2)
        ]
        said = {run.result().stdout for run in runs}
    assert list(temporary.iterdir()) == []
    assert said <= {b"True\n", b"False\n"}
    assert b"False\n" in said
    assert [path.name for path in (directory / "modules").iterdir()] == [place().name]
    assert compiled_now().from_cache


@pytest.mark.parametrize(
    "damage",
    ["truncated archive", "changed archive", "no archive", "truncated description", "other description", "empty"],
)
def test_a_damaged_entry_is_compiled_anew(directory: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    compiled_now()
    archive, description = place() / "server.zip", place() / "module.json"
    whole = archive.read_bytes()
    if damage == "truncated archive":
        archive.write_bytes(whole[: len(whole) // 2])
    elif damage == "changed archive":
        middle = len(whole) // 2
        archive.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    elif damage == "no archive":
        archive.unlink()
    elif damage == "truncated description":
        description.write_bytes(description.read_bytes()[:20])
    elif damage == "other description":
        description.write_bytes(b'{"seconds": 1}')
    else:
        archive.unlink()
        description.unlink()
    with caplog.at_level("WARNING"):
        assert not compiled_now().from_cache
    assert "damaged and will be compiled anew" in caplog.text
    assert compiled_now().from_cache
    assert [path.name for path in (directory / "modules").iterdir()] == [place().name]


def test_a_stored_module_is_checked_like_a_compiled_one(directory: Path) -> None:
    compiled_now()
    description = place() / "module.json"
    described = json.loads(description.read_bytes())
    described["statistics"]["p_error"] = 2.0**-127
    description.write_text(json.dumps(described))
    with pytest.raises(ProfileError, match="p_error"):
        compiled_now()
