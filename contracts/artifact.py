"""Compiled contracts, which are committed beside their sources. Anyone may call it.

`scripts/contracts.py` writes them, by the compiler that ``package.json`` pins.

>>> artifact = load_artifact("MarginVerifier")
>>> sorted(entry["name"] for entry in artifact.abi if entry["type"] == "function")
['generatorBlocks', 'verifyBreach', 'verifySufficiency']
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.contracts.errors import ArtifactError

CONTRACTS = (
    "AttestedVault",
    "ChunkedSufficiency",
    "CollateralPayment",
    "KeyLock",
    "MarginDecision",
    "MarginVerifier",
    "MatrixOracle",
    "PartialVerifier",
    "PartsVault",
    "PointerResolver",
    "Vault",
    # For tests alone: nobody deploys them.
    "test/Batch",
    "test/CallingToken",
    "test/Creator",
    "test/DecidedVerifier",
    "test/FalseToken",
    "test/FeeToken",
    "test/LyingToken",
    "test/OddToken",
    "test/SecondFeeToken",
    "test/Registry",
    "test/SilentToken",
    "test/SurchargeToken",
    "test/Token",
    "test/UnapprovingToken",
)
"""What is compiled: one file of that name in `SOURCES`, and one in `COMPILED`."""
SOURCES = Path(__file__).parent / "solidity"
COMPILED = Path(__file__).parent / "compiled"


@dataclass(frozen=True)
class Artifact:
    """A compiled contract.

    Attributes:
        name: of the contract and its source.
        abi: its interface, errors included.
        bytecode: what creates it, before the arguments of its constructor.
        compiler: full version.
        sources: SHA-256 of each source it is made of, by file name.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    compiler: str
    sources: dict[str, str]


def load_artifact(name: str) -> Artifact:
    """Return the compiled contract ``name``.

    Raises:
        ArtifactError: there is none, or a source beside it is not what was compiled.
    """
    path = COMPILED / f"{name}.json"
    try:
        written = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: {error}; compile it by scripts/contracts.py") from None
    artifact = Artifact(
        name, written["abi"], bytes.fromhex(written["bytecode"]), written["compiler"], written["sources"]
    )
    for source, pinned in artifact.sources.items():
        # Where sources were left out there is nothing to compare.
        found = source_hash(SOURCES / source) if (SOURCES / source).exists() else pinned
        if found != pinned:
            raise ArtifactError(f"{path}: {source} was changed since: compile it by scripts/contracts.py")
    return artifact


def source_hash(path: Path) -> str:
    """Return SHA-256 of a source, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
