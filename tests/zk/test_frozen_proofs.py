"""Proofs made once and kept: today's verifier must still accept them, and nothing next to them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atomic_margin.bench.zk.examples import CASES
from atomic_margin.zk import (
    BatchInvalid,
    BreachStatement,
    DecryptionStatement,
    EncryptionStatement,
    KeyCommitments,
    LackStatement,
    PortfolioStatement,
    SufficiencyStatement,
    generators_hash,
    verify_batch,
    verify_sufficiency,
)
from atomic_margin.zk.bits import parameters
from atomic_margin.zk.errors import VerificationError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove import nonces

from .kinds import KINDS

FROZEN = json.loads((Path(__file__).parent / "vectors" / "proofs.json").read_text())
IN_CHUNKS = json.loads((Path(__file__).parent / "vectors" / "chunks.json").read_text())
STATEMENTS: dict[str, type[Any]] = {
    "breach": BreachStatement,
    "decryption": DecryptionStatement,
    "encryption": EncryptionStatement,
    "lack": LackStatement,
    "portfolio": PortfolioStatement,
    "sufficiency": SufficiencyStatement,
}
MATRICES = {"weights": np.int64, "slack": np.int64, "masks": np.uint64, "bodies": np.uint64}


def read(record: dict[str, Any]) -> Any:
    """The statement of a record."""
    fields: dict[str, Any] = {}
    for label, value in record.items():
        if label in MATRICES:
            fields[label] = None if value is None else np.array(value, dtype=MATRICES[label])
        elif label == "commitments":
            fields[label] = tuple(bytes.fromhex(data) for data in value)
        elif label == "key":
            points = tuple(bytes.fromhex(data) for data in value["commitments"])
            fields[label] = KeyCommitments(value["dimension"], points)
        elif label not in ("statement", "proof"):
            fields[label] = tuple(value) if isinstance(value, list) else value
    return STATEMENTS[record["statement"]](**fields)


def test_they_speak_of_the_same_generators_and_of_every_statement() -> None:
    assert FROZEN["generators"] == IN_CHUNKS["generators"] == generators_hash()
    assert {record["statement"] for record in FROZEN["records"]} == set(STATEMENTS)


@pytest.mark.parametrize("record", FROZEN["records"], ids=lambda record: record["statement"])
def test_frozen_proofs_verify(backend: Group, record: dict[str, Any]) -> None:
    kind, proof = KINDS[record["statement"]], bytes.fromhex(record["proof"])
    kind.verify(read(record), proof, backend)
    other = read({**record, "context": {**record["context"], "submission": "2"}})
    with pytest.raises(VerificationError):
        kind.verify(other, proof, backend)


@pytest.mark.parametrize(
    ("statement", "entries", "dimension", "expected"),
    [
        ("portfolio", 3, 0, "45b24573952f8cfea5dc8f0b0b176ea6692284e742dd05262e8491e0bb6c9847"),
        ("encryption", 20, 512, "a37bdd632ea446531564761324397b5516e6edd813182001eda76c5c6b3a6abd"),
    ],
)
def test_a_proof_in_one_piece_is_made_as_it_was_when_it_was_frozen(
    group: Group, monkeypatch: pytest.MonkeyPatch, statement: str, entries: int, dimension: int, expected: str
) -> None:
    monkeypatch.setattr(nonces.secrets, "token_bytes", bytes)
    # The second one is about more bits than stay in one piece now.
    monkeypatch.setattr(parameters, "ONE_CHUNK_BITS", parameters.MAX_GENERATORS)
    (example,) = CASES[statement](entries, 0, 5, dimension, 1, group)
    assert hashlib.sha256(example.prove(group)).hexdigest() == expected


@pytest.mark.long
def test_a_frozen_proof_in_chunks_verifies(backend: Group) -> None:
    (record,) = IN_CHUNKS["records"]
    statement, proof = read(record), bytes.fromhex(record["proof"])
    assert statement.bit_statement().parameters.chunks == 20
    verify_sufficiency(statement, proof, backend)


def test_frozen_proofs_of_both_forms_verify_together(group: Group) -> None:
    records = [*FROZEN["records"], *IN_CHUNKS["records"]]
    claims = [(read(record), bytes.fromhex(record["proof"])) for record in records]
    verify_batch(claims, group)
    changed = read({**records[-1], "context": {**records[-1]["context"], "submission": "2"}})
    with pytest.raises(BatchInvalid) as caught:
        verify_batch([*claims[:-1], (changed, claims[-1][1])], group)
    assert list(caught.value.culprits) == [len(records) - 1]


@pytest.mark.long
def test_frozen_proofs_verify_together(backend: Group) -> None:
    claims = [(read(record), bytes.fromhex(record["proof"])) for record in FROZEN["records"]]
    verify_batch(claims, backend)
    claims[3] = (claims[4][0], claims[3][1])
    with pytest.raises(BatchInvalid) as caught:
        verify_batch(claims, backend)
    assert list(caught.value.culprits) == [3]
