"""What is committed of the contracts is what their sources make, and what is pinned in them is ours."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from eth_utils import keccak

from atomic_margin.contracts import artifact as artifact_module
from atomic_margin.contracts.artifact import CONTRACTS, SOURCES, load_artifact, source_hash
from atomic_margin.contracts.errors import ArtifactError
from atomic_margin.contracts.generator_blocks import POINTS_EACH, generator_blocks
from atomic_margin.zk import generators_hash
from atomic_margin.zk.bits.parameters import ONE_CHUNK_BITS
from atomic_margin.zk.groups import ORDER

from .. import outside

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", CONTRACTS)
def test_sources_are_those_that_were_compiled(name: str) -> None:
    sources = load_artifact(name).sources
    assert f"{name}.sol" in sources
    assert sources == {source: source_hash(SOURCES / source) for source in sources}


def test_a_source_that_was_changed_since_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SOURCES, tmp_path / "solidity")
    monkeypatch.setattr(artifact_module, "SOURCES", tmp_path / "solidity")
    load_artifact("MarginVerifier")
    with (tmp_path / "solidity" / "Pairs.sol").open("a") as file:
        file.write("// more\n")
    with pytest.raises(ArtifactError, match=r"Pairs\.sol was changed since"):
        load_artifact("MarginVerifier")
    with pytest.raises(ArtifactError, match=r"scripts/contracts\.py"):
        load_artifact("Nothing")


@pytest.mark.long
def test_the_compiler_makes_what_is_committed() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "contracts.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        outside.absent("the Solidity compiler, by `make contracts`")
    assert (done.returncode, done.stderr) == (0, "")


def test_pins_of_the_generators_are_ours() -> None:
    text = (SOURCES / "Generators.sol").read_text()
    blocks = generator_blocks()
    pinned = "".join(re.findall(r'hex"(.*?)"', text.split("CODE_HASHES =")[1].split(";")[0]))
    assert pinned == b"".join(map(keccak, blocks)).hex()
    assert f'hex"{generators_hash()}"' in text
    assert f"BLOCKS = {len(blocks)};" in text
    assert f"POINTS_EACH = {POINTS_EACH};" in text
    assert max(map(len, blocks)) <= 24_576


def test_numbers_of_the_sources_are_those_of_the_proofs() -> None:
    text = "".join(path.read_text() for path in sorted(SOURCES.glob("*.sol")))
    assert set(re.findall(r"0x73eda7[0-9a-f]+", text)) == {f"0x{ORDER:064x}"}
    assert f"MAX_BITS = {ONE_CHUNK_BITS};" in text
