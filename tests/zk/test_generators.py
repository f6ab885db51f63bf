"""Generators come from the cache only if it holds the pinned ones."""

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atomic_margin.zk import generators as module
from atomic_margin.zk import generators_hash, load_generators, load_group
from atomic_margin.zk.errors import GeneratorError, StatementError
from atomic_margin.zk.generators import BLOCK, DOMAIN_TAG, MAX_GENERATORS, SHIPPED, GeneratorStore, derive_block
from atomic_margin.zk.groups import Group
from atomic_margin.zk.pinned import BLOCK_HASHES


def encoded(group: Group, directory: Path, count: int) -> list[bytes]:
    generators = GeneratorStore(group, directory).load(count)
    points = [generators.value, generators.blinding, *generators.left, *generators.right]
    return [group.encode_point(point) for point in points]


@pytest.fixture(scope="session")
def block(group: Group) -> bytes:
    return derive_block(group, 0)


@pytest.fixture
def derived_before(block: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deriving takes a second with new versions of arkworks and ten with old ones: once is enough."""
    monkeypatch.setattr(module, "derive_block", lambda *_: block)


def test_the_trust_anchor_is_frozen() -> None:
    assert generators_hash() == "f1421e33fe5d1b8efacdf74a7bd6dae450d987b145378a0179a5e1f2a9a4673d"


def test_every_generator_is_a_hash_to_the_curve(backend: Group) -> None:
    generators = load_generators(backend, 3)
    for message, point in [
        (b"value", generators.value),
        (b"blinding", generators.blinding),
        (b"left/0", generators.left[0]),
        (b"left/2", generators.left[2]),
        (b"right/0", generators.right[0]),
        (b"right/2", generators.right[2]),
    ]:
        assert backend.hash_to_point(message, DOMAIN_TAG) == point


def test_a_block_is_derived_as_pinned_and_progress_is_reported(group: Group) -> None:
    reports: list[tuple[int, int]] = []
    block = derive_block(group, 1, lambda done, total: reports.append((done, total)))
    assert hashlib.sha256(block).hexdigest() == BLOCK_HASHES[1]
    assert len(reports) == 2 * BLOCK
    assert reports[-1] == (2 * BLOCK, 2 * BLOCK)


@pytest.mark.usefixtures("derived_before")
def test_a_cache_is_filled_once_and_then_read(group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoded(group, tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["block-000.bin"]
    monkeypatch.setattr(module, "derive_block", None)
    assert encoded(group, tmp_path, 5) == first
    assert encoded(load_group("reference"), tmp_path, 5) == first


def test_a_longer_prefix_continues_a_shorter_one(group: Group) -> None:
    short, long = load_generators(group, BLOCK - 1), load_generators(group, BLOCK + 2)
    assert long.left[: BLOCK - 1] == short.left
    assert long.right[: BLOCK - 1] == short.right
    assert len({group.encode_point(point) for point in long.left + long.right}) == 2 * (BLOCK + 2)


@pytest.mark.usefixtures("derived_before")
@pytest.mark.parametrize("damage", [b"", b"\x00" * 48 * 2 * BLOCK, None], ids=["empty", "zeros", "one bit"])
def test_a_damaged_cache_is_noticed_and_rebuilt(
    group: Group, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes | None
) -> None:
    first = encoded(group, tmp_path, 1)
    path = tmp_path / "block-000.bin"
    sound = path.read_bytes()
    path.write_bytes(bytes([sound[0] ^ 0x20]) + sound[1:] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert encoded(group, tmp_path, 1) == first
    assert "does not have the pinned hash" in caplog.text
    assert path.read_bytes() == sound


def test_generators_other_than_the_pinned_ones_are_refused(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "derive_block", lambda *_: bytes(48))
    with pytest.raises(GeneratorError, match="pinned hash"):
        GeneratorStore(group, tmp_path).load(1)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("derived_before")
def test_a_directory_that_cannot_be_written_costs_only_a_warning(
    group: Group, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert len(GeneratorStore(group, tmp_path / "file").load(1).left) == 1
    assert "ATOMIC_MARGIN_CACHE" in caplog.text


@pytest.mark.usefixtures("derived_before")
def test_the_environment_chooses_the_directory(group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_MARGIN_CACHE", os.fspath(tmp_path))
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "nothing here")
    load_generators(group, 1)
    assert [path.name for path in tmp_path.iterdir()] == [f"generators-{generators_hash()[:16]}"]


def test_more_than_there_are_is_refused_at_once(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "derive_block", None)
    with pytest.raises(StatementError, match="at most"):
        load_generators(group, MAX_GENERATORS + 1)


def test_every_block_is_shipped_as_pinned(group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = SHIPPED.read_bytes()
    size = len(data) // len(BLOCK_HASHES)
    assert len(data) < 2_000_000
    blocks = [data[size * index : size * (index + 1)] for index in range(len(BLOCK_HASHES))]
    assert tuple(hashlib.sha256(block).hexdigest() for block in blocks) == BLOCK_HASHES
    # Nothing is derived and nothing is written.
    monkeypatch.setattr(module, "derive_block", None)
    generators = GeneratorStore(group, tmp_path, SHIPPED).load(BLOCK + 1)
    assert group.encode_point(generators.right[BLOCK]) == blocks[1][48 * BLOCK : 48 * (BLOCK + 1)]
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("derived_before")
@pytest.mark.parametrize("content", [None, b"", b"\x00" * 48 * 2 * BLOCK], ids=["missing", "empty", "zeros"])
def test_a_shipped_file_that_is_not_the_pinned_one_is_not_believed(
    group: Group, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    shipped = tmp_path / "generators.bin"
    if content is not None:
        shipped.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        generators = GeneratorStore(group, tmp_path / "cache", shipped).load(2)
    assert generators.left == load_generators(group, 2).left
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["block-000.bin"]
    assert ("does not have the pinned hash" in caplog.text) == bool(content)


def test_the_largest_statement_loads_in_a_process_of_its_own(tmp_path: Path) -> None:
    # The promise is one second on an idle machine; this one may be busy, so what counts is the processor's time.
    code = (
        "import time; from atomic_margin.zk import load_generators, load_group; group = load_group('arkworks');"
        "start = time.process_time(); load_generators(group, 11264); print(time.process_time() - start)"
    )
    environment = {**os.environ, "ATOMIC_MARGIN_CACHE": os.fspath(tmp_path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert float(found.stdout) < 3
    assert not list(tmp_path.iterdir())
