"""Small honest proofs every test may start from, and where the outside vectors are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atomic_margin.zk import PortfolioStatement, SufficiencyStatement, load_group
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import PortfolioWitness, SufficiencyWitness

CONTEXT = {
    "institution": "Harbour Fund",
    "submission": "3",
    "price sequence": "1017",
    "profile": "a" * 64,
    "circuit": "b" * 64,
    "model": "c" * 64,
    "matrix": "d" * 64,
    "evaluation keys": "e" * 64,
    "role": "maintenance",
    "run": "f" * 64,
}
VALUES = (3, 0, 31, 7, 1, 0)
SECRET = bytes(range(32))


@dataclass(frozen=True)
class Case:
    """An honest statement with its witness and proof."""

    statement: Any
    witness: Any
    proof: bytes


@pytest.fixture(scope="session")
def group() -> Group:
    return load_group("arkworks")


@pytest.fixture(scope="session", params=["arkworks", "reference"])
def backend(request: pytest.FixtureRequest) -> Group:
    return load_group(request.param)


@pytest.fixture(scope="session")
def opened(group: Group) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    return commit_values(VALUES, SECRET, CONTEXT, group)


@pytest.fixture(scope="session")
def portfolio(group: Group, opened: tuple[tuple[bytes, ...], tuple[int, ...]]) -> Case:
    statement = PortfolioStatement(opened[0], (5,) * 6, (1, 32, 1, 32, 5, 7), 1000, CONTEXT)
    witness = PortfolioWitness(VALUES, opened[1])
    return Case(statement, witness, prove_portfolio(statement, witness, group))


@pytest.fixture(scope="session")
def sufficiency(group: Group, opened: tuple[tuple[bytes, ...], tuple[int, ...]]) -> Case:
    weights = np.array([[-10, 4, -1, 0, 3, 9], [2, -8, 1, -5, 0, 0], [0, 0, 0, 0, -1, 0]], dtype=np.int64)
    # Surpluses 3, 9 and 0: the third row is exactly covered.
    statement = SufficiencyStatement(opened[0], weights, (56, 2, -7), 8, 13, CONTEXT)
    witness = SufficiencyWitness(VALUES, opened[1])
    return Case(statement, witness, prove_sufficiency(statement, witness, group))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Outside vectors live next to the repository, not in it."""
    path = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    if not path.is_dir():
        pytest.skip("outside test vectors are not installed: expected in ../shared/data beside the repository")
    return path
