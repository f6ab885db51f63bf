"""Files named by their hash: whole or absent, and nothing outside their folder."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.service.errors import BlobDamaged, NotFound
from atomic_margin.service.operator.store.blobs import Blobs
from atomic_margin.service.protocol.states import RunState

from .documents import FUND
from .world import World


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "data" / "blobs")


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data" / "blobs").iterdir())


def test_what_is_put_is_got(blobs: Blobs, tmp_path: Path) -> None:
    for data in (b"", b"x", os.urandom(1 << 20)):
        name = blobs.put(data)
        assert name == hashlib.sha256(data).hexdigest()
        assert blobs.get(name) == data
        assert blobs.put(data) == name
    assert len(names(tmp_path)) == 3
    assert all((tmp_path / "data" / "blobs" / name).stat().st_mode & 0o077 == 0 for name in names(tmp_path))


@pytest.mark.parametrize("point", ["fsync", "replace"])
def test_a_write_that_fails_leaves_no_file_under_the_name(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail) if point == "fsync" else patched.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space"):
            blobs.put(b"data")
    name = hashlib.sha256(b"data").hexdigest()
    assert name not in names(tmp_path)
    with pytest.raises(NotFound):
        blobs.get(name)
    assert blobs.put(b"data") == name
    assert blobs.keep_only({name}) <= 1
    assert names(tmp_path) == [name]


def test_orphans_are_removed(blobs: Blobs, tmp_path: Path) -> None:
    kept, orphan = blobs.put(b"kept"), blobs.put(b"orphan")
    (tmp_path / "data" / "blobs" / ".new-interrupted").write_bytes(b"half")
    assert blobs.keep_only({kept, "0" * 64}) == 2
    assert names(tmp_path) == [kept]
    with pytest.raises(NotFound):
        blobs.get(orphan)
    blobs.remove(kept)
    blobs.remove(kept)
    assert names(tmp_path) == []


def test_bytes_that_changed_are_not_used(blobs: Blobs, tmp_path: Path) -> None:
    name = blobs.put(b"data")
    (tmp_path / "data" / "blobs" / name).write_bytes(b"dat4")
    with pytest.raises(BlobDamaged, match=f"{name} has another hash than its name: it is damaged; restore it"):
        blobs.get(name)


def test_a_folder_of_other_files_does_not_lose_them(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "data" / "blobs" / "readme.txt").write_bytes(b"not ours")
    assert blobs.keep_only(()) == 0
    assert (names(tmp_path), list(blobs.names())) == (["readme.txt"], [])


def outside(tmp_path: Path) -> Path:
    """A file beside the folder, whose relative name happens to be as long as a hash."""
    path = tmp_path / "data" / ("s" * 61)
    path.write_bytes(b"secret")
    return path


@pytest.mark.parametrize("name", ["", ".", "..", "../" + "s" * 61, "/etc/passwd", "0" * 63, "0" * 65, "\0" * 64])
def test_names_that_are_no_hashes_are_not_found(blobs: Blobs, tmp_path: Path, name: str) -> None:
    outside(tmp_path)
    with pytest.raises(NotFound):
        blobs.path(name)
    with pytest.raises(NotFound):
        blobs.get(name)


def test_nothing_outside_the_folder_is_removed(blobs: Blobs, tmp_path: Path) -> None:
    path = outside(tmp_path)
    with contextlib.suppress(NotFound):
        blobs.remove(f"../{path.name}")
    assert path.exists()


@pytest.mark.usefixtures("own_temporary")
def test_the_operator_keeps_what_rows_name(world_at: Callable[[str], World]) -> None:
    world = world_at("submitted")
    folder = world.directory / "blobs"
    before = sorted(folder.iterdir())
    assert len(before) == 3
    (folder / ("0" * 64)).write_bytes(b"left by a crash")
    (folder / ".new-abc").write_bytes(b"half")
    assert world.operator.remove_orphans() == 2
    assert sorted(folder.iterdir()) == before
    assert world.play(1) == f"{FUND}.1"
    assert world.run(f"{FUND}.1").state == RunState.AWAITING_ANSWER
