"""Blobs in an object store: a real client against moto's server, which speaks S3 on loopback."""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from atomic_margin.service.errors import BlobDamaged, BlobsUnreachable, ConfigurationError, NotFound
from atomic_margin.service.operator.store import remote_blobs
from atomic_margin.service.operator.store.blobs import Blobs
from atomic_margin.service.operator.store.remote_blobs import RemoteBlobs, open_blobs

from ..outside import optional

pytestmark = pytest.mark.long

URL = "s3://margin/operator"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = optional("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    optional("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def blobs(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteBlobs:
    import fsspec

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
    system = fsspec.filesystem("s3")
    if system.exists("margin"):
        system.rm("margin", recursive=True)
    system.mkdir("margin")
    opened = open_blobs(tmp_path / "data", URL)
    assert isinstance(opened, RemoteBlobs)
    return opened


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data" / "blob-cache").iterdir())


def test_what_is_put_is_got_also_by_another_machine(blobs: RemoteBlobs, tmp_path: Path) -> None:
    kept = {blobs.put(data): data for data in (b"", b"x", os.urandom(1 << 20))}
    other = RemoteBlobs(URL, tmp_path / "other")
    assert sorted(other.names()) == sorted(kept)
    for name, data in kept.items():
        assert (other.get(name), other.path(name).read_bytes()) == (data, data)
        assert other.path(name).stat().st_mode & 0o077 == 0


def test_bytes_that_changed_in_the_store_are_not_used(blobs: RemoteBlobs, tmp_path: Path) -> None:
    name = blobs.put(b"data")
    blobs._system.pipe_file(f"margin/operator/{name}", b"dat4")
    # What this machine has is as it was.
    assert blobs.get(name) == b"data"
    (tmp_path / "data" / "blob-cache" / name).unlink()
    for read in (blobs.get, blobs.path):
        with pytest.raises(BlobDamaged, match=f"margin/operator/{name} has another hash"):
            read(name)
    assert cached(tmp_path) == []


def test_a_copy_that_changed_on_this_machine_is_fetched_again(blobs: RemoteBlobs, tmp_path: Path) -> None:
    name = blobs.put(b"data")
    (tmp_path / "data" / "blob-cache" / name).write_bytes(b"dat4")
    assert blobs.get(name) == b"data"


def test_what_the_store_did_not_take_as_it_was_is_no_blob(blobs: RemoteBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    take = blobs._system.pipe_file
    monkeypatch.setattr(blobs._system, "pipe_file", lambda address, data: take(address, data[:-1]))
    with pytest.raises(BlobDamaged):
        blobs.put(b"data")


def test_copies_on_this_machine_are_bounded_and_those_in_use_stay(
    blobs: RemoteBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = RemoteBlobs(URL, tmp_path / "data" / "blob-cache", cache_bytes=2500)
    names = [small.put(bytes([number]) * 1000) for number in range(4)]
    # A worker may be reading any of them.
    assert len(cached(tmp_path)) == 4
    monkeypatch.setattr(remote_blobs, "IN_USE_SECONDS", -1.0)
    for age, name in enumerate(reversed(names)):
        os.utime(tmp_path / "data" / "blob-cache" / name, (1000 - age, 1000 - age))
    last = small.put(b"last" * 250)
    assert cached(tmp_path) == sorted([names[-1], last])
    assert small.get(names[0]) == b"\0" * 1000


def test_orphans_are_removed_in_the_store_too_and_nothing_else(blobs: RemoteBlobs, tmp_path: Path) -> None:
    kept, orphan = blobs.put(b"kept"), blobs.put(b"orphan")
    blobs._system.pipe_file("margin/operator/readme.txt", b"not ours")
    assert blobs.keep_only({kept}) == 1
    assert list(blobs.names()) == [kept]
    assert blobs._system.cat_file("margin/operator/readme.txt") == b"not ours"
    with pytest.raises(NotFound):
        blobs.get(orphan)
    blobs.remove(kept)
    blobs.remove(kept)
    assert list(blobs.names()) == []


@pytest.mark.parametrize("name", ["", "..", "readme.txt", "0" * 63, "\0" * 64, "0" * 64])
def test_names_that_are_no_hashes_or_not_there_are_not_found(blobs: RemoteBlobs, name: str) -> None:
    for read in (blobs.get, blobs.path):
        with pytest.raises(NotFound):
            read(name)


def test_a_store_that_does_not_answer_is_named(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    # It takes connections, and closes them.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def refuse() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        settings = {
            "endpoint_url": f"http://127.0.0.1:{port}", "key": "k", "secret": "s", "skip_instance_cache": True,
            "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 2, "read_timeout": 2},
        }  # fmt: skip
        monkeypatch.setitem(fsspec.config.conf, "s3", settings)
        blobs = RemoteBlobs(URL, tmp_path / "cache")
        monkeypatch.setattr(type(blobs._system), "retries", 1)
        with pytest.raises(BlobsUnreachable, match="s3://margin/operator did not get "):
            blobs.get(hashlib.sha256(b"").hexdigest())
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_the_url_chooses(tmp_path: Path) -> None:
    assert type(open_blobs(tmp_path)) is Blobs
    assert type(open_blobs(tmp_path, f"file://{tmp_path}/elsewhere")) is Blobs
    assert (tmp_path / "elsewhere").is_dir()
    for wrong in ("elsewhere", "file:elsewhere", "nosuch://x/y"):
        with pytest.raises(ConfigurationError, match="--blobs"):
            open_blobs(tmp_path, wrong)
