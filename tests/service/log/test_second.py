"""The log's files, read by an implementation that is not ours (Go's x/mod, of which Debian has a package)."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, cosign, log_key, sign_head, witness_key
from atomic_margin.service.log.tree import consistency_proof, inclusion_proof, root
from atomic_margin.service.protocol.signing import Identity

from .logs import MemoryLog

SOURCES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb")
ORIGIN = "margin.example/log"
OLD, SIZE, INDEX = 60_000, 70_000, 65_123


def encoded(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(hash_).decode() for hash_ in hashes]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    log, keeper, witness = MemoryLog([b"entry %d" % n for n in range(SIZE)]), Identity.generate(), Identity.generate()
    for path, data in log.files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    for name, size in (("old", OLD), ("new", SIZE)):
        checkpoint = sign_head(TreeHead(ORIGIN, size, root(log.read, size)), keeper)
        line = cosign(checkpoint, "witness.example/w1", witness, 1_800_000_000)
        whole = Checkpoint(checkpoint.head, checkpoint.note.with_lines(line))
        (folder / f"checkpoint.{name}").write_text(str(whole))
    (folder / "log.key").write_text(str(log_key(ORIGIN, keeper.public_key)))
    (folder / "witness.key").write_text(str(witness_key("witness.example/w1", witness.public_key)))
    proofs = {
        "Index": INDEX,
        "Size": SIZE,
        "Old": OLD,
        "Entry": base64.b64encode(log.entries[INDEX]).decode(),
        "Inclusion": encoded(inclusion_proof(log.read, INDEX, SIZE)),
        "Consistency": encoded(consistency_proof(log.read, OLD, SIZE)),
    }
    (folder / "proofs.json").write_text(json.dumps(proofs))
    return folder


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    go = shutil.which("go")
    if go is None or not SOURCES.is_dir():
        pytest.skip("no Go with x/mod here: on Debian install golang-go and golang-golang-x-mod-dev")
    program = Path(__file__).parent / "second" / "main.go"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    return subprocess.run(
        [go, "run", program, folder], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_it_believes_what_we_wrote(written: Path) -> None:
    done = run(written)
    assert done.stdout == "checkpoints, proofs and tiles hold\n", done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["checkpoint.new", "checkpoint.old", "proofs.json", "tile/0/254", "log.key"])
def test_it_notices_what_was_altered(written: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "log"
    shutil.copytree(written, folder)
    data = bytearray((folder / name).read_bytes())
    places = {"tile/0/254": (INDEX % 256) * 32, "proofs.json": data.find(b'"Entry": "') + 12}
    data[places.get(name, len(data) // 2)] ^= 1
    (folder / name).write_bytes(bytes(data))
    assert run(folder).returncode == 1
