"""The verifiers of slices without one of their checks are noticed by `test_partial`: `make test-all`."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.contracts.artifact import SOURCES, load_artifact
from atomic_margin.contracts.deploy import deploy

from . import test_partial as told
from .cases import Case
from .chains import Verifier
from .test_partial import Sliced
from .test_weakened import compiled

SLICES, BITS, VERSIONS = (
    told.test_there_is_no_other_slice,
    told.test_bits_that_are_not_in_chunks,
    told.test_versions_and_lengths_of_chunks,
)

WEAKENED: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
    ("Points", "slices > MAX_SLICES ||", "", SLICES),
    ("Points", "|| slice >= slices)", ")", SLICES),
    ("ChunkArgument", "if (bits <= BitArgument.MAX_BITS) revert", "if (false) revert", BITS),
    ("ChunkArgument", "if (bits > MAX_BITS) revert", "if (false) revert", BITS),
    ("ChunkArgument", "if (proof.length != wanted) revert", "if (false) revert", VERSIONS),
    ("ChunkArgument", "if (uint8(proof[0]) != VERSION) revert", "if (false) revert", VERSIONS),
)


small_chunked = told.small_chunked


@pytest.mark.slow
@pytest.mark.parametrize(("file", "old", "new", "noticed"), WEAKENED, ids=[f"{one[0]}: {one[1]}" for one in WEAKENED])
def test_what_is_left_out_is_noticed(
    file: str,
    old: str,
    new: str,
    noticed: Callable[..., Any],
    tmp_path: Path,
    on_anvil: Verifier,
    small_sufficiency: Case,
    small_chunked: Case,
) -> None:
    sources = tmp_path / "solidity"
    shutil.copytree(SOURCES, sources)
    text = (sources / f"{file}.sol").read_text()
    assert text.count(old) == 1
    (sources / f"{file}.sol").write_text(text.replace(old, new))
    web3, sender = on_anvil.web3, on_anvil.web3.eth.accounts[0]
    blocks = [on_anvil.contract.functions.generatorBlocks(index).call() for index in range(9)]
    chunked = deploy(web3, sender, compiled(sources, "ChunkedSufficiency"), blocks)
    partial = deploy(web3, sender, compiled(sources, "PartialVerifier"), blocks, chunked.address)
    weakened = Sliced(web3, on_anvil)
    errors = [one for one in load_artifact("ChunkedSufficiency").abi if one["type"] == "error"]
    weakened.contract = web3.eth.contract(address=partial.address, abi=[*partial.abi, *errors])
    failures = 0
    for case in (small_sufficiency, small_chunked) if noticed is SLICES else (small_chunked,):
        try:
            noticed(weakened, case)
        except (AssertionError, KeyError, ValueError):
            failures += 1
    assert failures > 0
