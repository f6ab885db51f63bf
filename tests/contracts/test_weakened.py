"""The contract without one of its checks or terms is noticed by the tests of the others: `make test-all`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.contracts.artifact import SOURCES, Artifact
from atomic_margin.contracts.deploy import deploy

from .. import outside
from . import test_verifier as told
from .cases import Case
from .chains import Verifier
from .test_attacks import over_a_doomed_block

ROOT = Path(__file__).resolve().parents[2]

Noticed = Callable[..., None]
POINTS, SCALARS = told.test_every_point_of_the_proof, told.test_every_scalar_of_the_proof
SIZES, BOUND = told.test_sizes_of_the_statement, told.test_bits_and_top_up_are_bound
CELLS, VERSIONS = (
    told.test_every_cell_offset_and_context_byte_of_the_statement,
    told.test_lengths_and_versions_of_the_proof,
)

WEAKENED: tuple[tuple[str, str, str, Noticed], ...] = (
    ("Pairs", "if ((xHigh | xLow | yHigh | yLow) == 0) revert", "if (false) revert", POINTS),
    ("Pairs", "!_below(xHigh, xLow, PRIME_HIGH, PRIME_LOW) ||", "", POINTS),
    ("Pairs", "|| !_below(yHigh, yLow, PRIME_HIGH, PRIME_LOW)", "", POINTS),
    ("Field", "if (value >= ORDER) revert", "if (false) revert", SCALARS),
    ("BitArgument", "if (uint8(proof[0]) != VERSION) revert", "if (false) revert", VERSIONS),
    ("BitArgument", "if (proof.length != wanted) revert", "if (false) revert", VERSIONS),
    ("MarginVerifier", "if (uint8(proof[0]) != BREACH_VERSION) revert", "if (false) revert", VERSIONS),
    ("MarginVerifier", "if (share == 0) revert", "if (false) revert", SCALARS),
    ("MarginVerifier", "if (header.topUp != 0) revert", "if (false) revert", BOUND),
    ("MarginVerifier", "(unequal & UPPER) |", "", CELLS),
    ("MarginVerifier", "| (least & SIGN)", "", CELLS),
    ("Statement", "amount <= -int256(BOUND) ||", "", CELLS),
    ("Statement", "|| amount >= int256(BOUND)", "", CELLS),
    ("Statement", "if (bits == 0 || bits > MAX_BITS) revert", "if (bits == 0) revert", SIZES),
    ("Statement", "if (topUp >= BOUND) revert", "if (false) revert", SIZES),
    ("Statement", "rows > maxRows)", "rows > maxRows + 100)", SIZES),
    ("Statement", "entries > maxEntries)", "entries > maxEntries + 100)", SIZES),
    ("Statement", "if (data.length > start + MAX_CONTEXT) revert", "if (false) revert", SIZES),
)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "old", "new", "noticed"), WEAKENED, ids=[f"{one[0]}: {one[1]}" for one in WEAKENED])
def test_what_is_left_out_is_noticed(
    file: str,
    old: str,
    new: str,
    noticed: Noticed,
    tmp_path: Path,
    on_anvil: Verifier,
    small_sufficiency: Case,
    small_breach: Case,
) -> None:
    sources = tmp_path / "solidity"
    shutil.copytree(SOURCES, sources)
    text = (sources / f"{file}.sol").read_text()
    assert text.count(old) == 1
    (sources / f"{file}.sol").write_text(text.replace(old, new))
    web3 = on_anvil.web3
    blocks = [on_anvil.contract.functions.generatorBlocks(index).call() for index in range(9)]
    weakened = Verifier(web3, deploy(web3, web3.eth.accounts[0], compiled(sources), blocks))
    given = [(small_sufficiency, small_breach)] if noticed is BOUND else [(small_sufficiency,), (small_breach,)]
    failures = 0
    for cases in given:
        try:
            noticed(weakened, *cases)
        except (AssertionError, KeyError, ValueError):
            failures += 1
    assert failures > 0


@pytest.mark.slow
def test_generators_that_are_not_looked_at_are_noticed(tmp_path: Path, on_anvil: Verifier, small_breach: Case) -> None:
    sources = tmp_path / "solidity"
    shutil.copytree(SOURCES, sources)
    text, old = (sources / "Generators.sol").read_text(), "if (at.codehash != wanted)"
    assert text.count(old) == 1
    (sources / "Generators.sol").write_text(text.replace(old, "if (at.codehash != wanted && false)"))
    weakened = over_a_doomed_block(on_anvil, compiled(sources))
    said = weakened.says(small_breach.function, *small_breach.calldata)
    assert said == "BreachProofInvalid()"


def compiled(sources: Path, name: str = "MarginVerifier") -> Artifact:
    """The verifier, or another contract, as `scripts/contracts.py` makes it of other sources."""
    command = [
        sys.executable,
        str(ROOT / "scripts" / "contracts.py"),
        name,
        "--sources",
        str(sources),
        "--print",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        outside.absent("the Solidity compiler, by `make contracts`")
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return Artifact(made["name"], made["abi"], bytes.fromhex(made["bytecode"]), made["compiler"], made["sources"])
