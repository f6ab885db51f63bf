"""Small honest proofs every test may start from, and valid and invalid encodings."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atomic_margin.zk import (
    BreachStatement,
    DecryptionStatement,
    EncryptionStatement,
    KeyCommitments,
    LackStatement,
    PortfolioStatement,
    SufficiencyStatement,
    load_group,
)
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.key import KeyOpening, commit_key
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, EncryptionWitness, PortfolioWitness, SufficiencyWitness
from atomic_margin.zk.sharing.open_row import RowOpening

from .ciphertexts import encrypt, random_key

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
KEY = random_key(20)


def windows(proof: bytes) -> set[bytes]:
    """Every sixteen bytes in a row of a proof. Two fresh proofs have one in common with chance below 2^-100."""
    return {proof[start : start + 16] for start in range(len(proof) - 15)}


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
def slack(group: Group, opened: tuple[tuple[bytes, ...], tuple[int, ...]]) -> Case:
    """The larger of two losses, exactly: u >= each of them, and 20 + X - u >= 0 with X in the last row alone."""
    weights = np.array([[-1, 0, -1, 0, 0, 0], [0, 0, 0, -5, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=np.int64)
    statement = SufficiencyStatement(
        opened[0],
        weights,
        (0, 0, 20),
        15,
        6,
        CONTEXT,
        slack=np.array([[1], [1], [-1]], dtype=np.int64),
        slack_widths=(7,),
        top_up_weights=(0, 0, 1),
    )
    # Losses 34 and 35.
    witness = SufficiencyWitness(VALUES, opened[1], slack=(35,))
    return Case(statement, witness, prove_sufficiency(statement, witness, group))


@pytest.fixture(scope="session")
def key(group: Group) -> tuple[KeyCommitments, KeyOpening]:
    return commit_key(KEY, SECRET, CONTEXT, group)


@pytest.fixture(scope="session")
def encryption(
    group: Group, opened: tuple[tuple[bytes, ...], tuple[int, ...]], key: tuple[KeyCommitments, KeyOpening]
) -> Case:
    masks, bodies = encrypt(VALUES, KEY, 43)
    statement = EncryptionStatement(opened[0], key[0], masks, bodies, (5,) * 6, 43, CONTEXT)
    witness = EncryptionWitness(VALUES, opened[1], key[1])
    return Case(statement, witness, prove_encryption(statement, witness, group))


@pytest.fixture(scope="session")
def decryption(group: Group, key: tuple[KeyCommitments, KeyOpening]) -> Case:
    masks, bodies = encrypt((1, 0), KEY, 62, errors=(2**60 - 1, -(2**60)))
    statement = DecryptionStatement(key[0], masks, bodies, (1, 0), CONTEXT)
    return Case(statement, key[1], prove_decryption(statement, key[1], group))


@pytest.fixture(scope="session")
def breach(group: Group, opened: tuple[tuple[bytes, ...], tuple[int, ...]]) -> Case:
    weights = np.array([[-10, 4, -1, 0, 3, 9], [2, -8, 1, -5, 0, 0], [0, 0, 0, 0, -1, 0]], dtype=np.int64)
    # Surpluses 11, -9 and 1: only the second row is negative.
    statement = BreachStatement(opened[0], weights, (69, -11, 2), 10, CONTEXT)
    witness = BreachWitness(VALUES, opened[1])
    return Case(statement, witness, prove_breach(statement, witness, group))


@pytest.fixture(scope="session")
def lack(group: Group, opened: tuple[tuple[bytes, ...], tuple[int, ...]]) -> Case:
    weights = (-10, 4, -1, 0, 3, 9)
    # The row is -38: 50 is the least multiple of 25 that restores it.
    statement = LackStatement(opened[0], np.array(weights, dtype=np.int64), 20, 50, 25, CONTEXT)
    opening = RowOpening(-38, sum(weight * gamma for weight, gamma in zip(weights, opened[1], strict=True)) % ORDER)
    return Case(statement, opening, prove_lack(statement, opening, group))


@pytest.fixture(scope="session")
def encodings() -> list[dict[str, Any]]:
    """Valid and invalid encodings of points and scalars, made with integer arithmetic, nobody's code (CC0)."""
    path = Path(__file__).with_name("vectors") / "bls12_381_encodings.json"
    records: list[dict[str, Any]] = json.loads(path.read_text())
    return records
