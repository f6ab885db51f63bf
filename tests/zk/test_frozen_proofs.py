"""Proofs made once and kept: today's verifier must still accept them, and nothing next to them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atomic_margin.zk import (
    PortfolioStatement,
    SufficiencyStatement,
    generators_hash,
    verify_portfolio,
    verify_sufficiency,
)
from atomic_margin.zk.errors import VerificationError
from atomic_margin.zk.groups import Group

FROZEN = json.loads((Path(__file__).parent / "vectors" / "proofs.json").read_text())


def verify(record: dict[str, Any], group: Group) -> None:
    commitments = tuple(bytes.fromhex(data) for data in record["commitments"])
    proof, context = bytes.fromhex(record["proof"]), record["context"]
    if record["statement"] == "portfolio":
        widths, weights = tuple(record["widths"]), tuple(record["gross_weights"])
        portfolio = PortfolioStatement(commitments, widths, weights, record["gross_limit"], context)
        verify_portfolio(portfolio, proof, group)
    else:
        matrix, offsets = np.array(record["weights"], dtype=np.int64), tuple(record["offsets"])
        sufficiency = SufficiencyStatement(commitments, matrix, offsets, record["top_up"], record["bits"], context)
        verify_sufficiency(sufficiency, proof, group)


def test_they_speak_of_the_same_generators() -> None:
    assert FROZEN["generators"] == generators_hash()


@pytest.mark.parametrize("record", FROZEN["records"], ids=lambda record: record["statement"])
def test_frozen_proofs_verify(backend: Group, record: dict[str, Any]) -> None:
    verify(record, backend)
    with pytest.raises(VerificationError):
        verify({**record, "context": {**record["context"], "submission": "2"}}, backend)
