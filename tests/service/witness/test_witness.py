"""A witness cosigns a log that only grows, remembers before it signs, and keeps what shows a contradiction."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, WitnessPolicy, believe, log_key, sign_head
from atomic_margin.service.log.notes import signature_line
from atomic_margin.service.log.requests import MAX_REQUEST_BYTES, AddCheckpoint
from atomic_margin.service.log.tree import consistency_proof, root
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.witness.web import LIMITS, create_app
from atomic_margin.service.witness.witness import Witness

from ..log.logs import MemoryLog
from ..world import TestClient

ORIGIN = "margin.example/log"
KEEPER = Identity.generate()
LOG = MemoryLog([b"%d" % number for number in range(300)])
FORKED = MemoryLog([*LOG.entries[:100], b"other", *LOG.entries[101:]])


def at(size: int, log: MemoryLog = LOG, keeper: Identity = KEEPER, origin: str = ORIGIN) -> Checkpoint:
    return sign_head(TreeHead(origin, size, root(log.read, size)), keeper)


def asked(old: int, size: int, log: MemoryLog = LOG) -> bytes:
    return AddCheckpoint(old, tuple(consistency_proof(log.read, old, size)), at(size, log)).to_bytes()


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    made = Witness(tmp_path / "w1", "w1.example", {ORIGIN: log_key(ORIGIN, KEEPER.public_key)}, lambda: 1679315147)
    yield made
    made.close()


@pytest.fixture
def client(witness: Witness) -> Iterator[TestClient]:
    with TestClient(create_app(witness), raise_server_exceptions=False) as client:
        yield client


def test_a_log_that_grows_is_cosigned(witness: Witness, client: TestClient) -> None:
    for old, size in ((0, 5), (5, 5), (5, 256), (256, 257), (257, 300)):
        response = client.post("/add-checkpoint", content=asked(old, size))
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/plain")
        checkpoint = Checkpoint.parse(str(at(size).note.with_lines(response.text)))
        found = believe(checkpoint, log_key(ORIGIN, KEEPER.public_key), WitnessPolicy((witness.key,), 1, 0), 1679315147)
        assert found.witnesses == (("w1.example", 1679315147),)
    latest = client.get("/checkpoint", params={"origin": ORIGIN})
    assert latest.text == str(at(300))
    assert client.get("/checkpoint", params={"origin": "other.example"}).status_code == 404


def test_another_size_is_told(client: TestClient) -> None:
    assert client.post("/add-checkpoint", content=asked(0, 10)).status_code == 200
    for old, size in ((0, 20), (9, 20), (11, 20)):
        response = client.post("/add-checkpoint", content=asked(old, size))
        assert (response.status_code, response.text) == (409, "10\n")
        assert response.headers["content-type"] == "text/x.tlog.size"


def test_what_the_protocol_refuses(client: TestClient) -> None:
    assert client.post("/add-checkpoint", content=asked(0, 100)).status_code == 200
    proof = tuple(consistency_proof(LOG.read, 100, 200))
    stranger, other = at(200, keeper=Identity.generate()), at(200, origin="other.example")
    for status, body in (
        (404, AddCheckpoint(100, proof, other).to_bytes()),
        (403, AddCheckpoint(100, proof, stranger).to_bytes()),
        (400, AddCheckpoint(100, (), at(50)).to_bytes()),
        (422, AddCheckpoint(100, proof[:-1], at(200)).to_bytes()),
        (422, AddCheckpoint(100, proof, at(200, FORKED)).to_bytes()),
        (422, AddCheckpoint(100, (proof[0],), at(100)).to_bytes()),
        (400, b"old 100"),
        (400, b"old 0100\n\n" + str(at(200)).encode()),
        (400, b"old 100\nAAAA\n\n" + str(at(200)).encode()),
        (400, b"old 100\n\n\xff"),
        (400, b"old 100\n" + b"A" * 43 + b"=\n" * 64 + b"\n" + str(at(200)).encode()),
        (413, b"x" * (MAX_REQUEST_BYTES + 1)),
    ):
        response = client.post("/add-checkpoint", content=body)
        assert response.status_code == status, response.text
    # Nothing of it was remembered.
    assert client.get("/checkpoint", params={"origin": ORIGIN}).text == str(at(100))


def test_a_log_without_leaves_has_one_root(client: TestClient) -> None:
    text, key = TreeHead(ORIGIN, 0, root(LOG.read, 5)).text, log_key(ORIGIN, KEEPER.public_key)
    bent = f"{text}\n{signature_line(key.name, key.identifier, KEEPER.sign_note(text.encode()))}"
    response = client.post("/add-checkpoint", content=f"old 0\n\n{bent}".encode())
    assert (response.status_code, "without leaves" in response.text) == (400, True)
    assert client.post("/add-checkpoint", content=asked(0, 0)).status_code == 200
    # Nothing is to be proven from there on.
    proof = tuple(consistency_proof(LOG.read, 100, 200))
    assert client.post("/add-checkpoint", content=AddCheckpoint(0, proof, at(200)).to_bytes()).status_code == 422
    assert client.post("/add-checkpoint", content=asked(0, 200)).status_code == 200


def test_a_fork_is_refused_and_kept_as_evidence(client: TestClient, tmp_path: Path) -> None:
    assert client.post("/add-checkpoint", content=asked(0, 150)).status_code == 200
    for _ in range(2):
        response = client.post("/add-checkpoint", content=AddCheckpoint(150, (), at(150, FORKED)).to_bytes())
        assert response.status_code == 409
        assert "different roots" in response.text
    (kept,) = (tmp_path / "w1" / "evidence").iterdir()
    assert kept.read_text() == f"{at(150)}\n{at(150, FORKED)}"
    assert client.get("/checkpoint", params={"origin": ORIGIN}).text == str(at(150))


def test_it_remembers_before_it_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between memory and answer costs the log a cosignature; the other order would cost it its one history."""
    logs = {ORIGIN: log_key(ORIGIN, KEEPER.public_key)}

    def crash() -> int:
        raise KeyboardInterrupt

    first = Witness(tmp_path, "w1.example", logs, crash)
    with pytest.raises(KeyboardInterrupt):
        first.add(AddCheckpoint.parse(asked(0, 120)))
    first.close()
    again = Witness(tmp_path, "w1.example", logs, lambda: 1)
    latest = again.latest(ORIGIN)
    assert latest is not None
    assert latest.head.size == 120
    assert again.key == first.key
    # A disk that fails while it stores: no signature, and the older memory stays.
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        again.add(AddCheckpoint.parse(asked(120, 200)))
    monkeypatch.undo()
    latest = again.latest(ORIGIN)
    assert latest is not None
    assert latest.head.size == 120
    again.close()


def test_one_folder_has_one_witness(witness: Witness, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="used by another witness"):
        Witness(tmp_path / "w1", "w1.example", {}, lambda: 0)


def test_one_address_asks_so_often(witness: Witness) -> None:
    limits = Limits.parse({**LIMITS.canonical(), "writes_burst": "3", "writes_per_second": "1"})
    with TestClient(create_app(witness, limits), raise_server_exceptions=False) as client:
        statuses = [client.post("/add-delivery", content=b"{}").status_code for _ in range(5)]
        assert 429 not in statuses[:3]
        assert 429 in statuses
        assert client.get("/healthz").status_code == 200


@pytest.mark.long
def test_a_connection_without_a_request_is_closed(tmp_path: Path) -> None:
    """As many of them as there are descriptors kept everybody else out for as long as they lasted."""
    port = free_port()
    arguments = ["witness", "--dir", str(tmp_path / "w"), "--name", "w/1", "--log", f"o/1={'ab' * 32}"]
    command = [sys.executable, "-m", "atomic_margin", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
    try:
        with _connected(port) as connection:
            connection.sendall(b"GET /healthz HT")
            connection.settimeout(2 * LIMITS.head_seconds)
            assert connection.recv(1) == b""
    finally:
        process.terminate()
        process.wait(20)


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
