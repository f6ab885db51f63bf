"""A submission of the largest portfolio is a document that everybody takes, and no larger one is."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from atomic_margin.documents.fields import BodiesHex, ProofHex
from atomic_margin.service.institution.app import MAX_BODY_BYTES
from atomic_margin.service.operator.web.body_limits import MAX_DOCUMENT_BYTES
from atomic_margin.zk.bits.parameters import MAX_BITS, ONE_CHUNK_BITS, BitParameters
from atomic_margin.zk.choice import choice_bytes
from atomic_margin.zk.statements.breach import MAX_CHOICES
from atomic_margin.zk.statements.checks import MAX_ENTRIES, MAX_ROW_BITS


def test_bodies_of_as_many_ciphertexts_as_a_statement_is_about() -> None:
    adapter: TypeAdapter[str] = TypeAdapter(BodiesHex)
    largest = "00" * 8 * MAX_ENTRIES
    assert adapter.validate_python(largest) == largest
    for wrong in (largest + "00", ""):
        with pytest.raises(ValidationError, match="1 to 32768 bytes"):
            adapter.validate_python(wrong)


def test_proofs_of_every_size_are_taken() -> None:
    adapter: TypeAdapter[str] = TypeAdapter(ProofHex)
    sizes = [BitParameters.for_bits(bits).proof_bytes for bits in (ONE_CHUNK_BITS, ONE_CHUNK_BITS + 1, MAX_BITS)]
    sizes.append(1 + choice_bytes(MAX_CHOICES) + BitParameters.for_bits(MAX_ROW_BITS).proof_bytes)
    for size in sizes:
        adapter.validate_python("00" * size)


def test_the_largest_submission_is_within_every_limit() -> None:
    proof = max(BitParameters.for_bits(bits).proof_bytes for bits in (ONE_CHUNK_BITS, MAX_BITS))
    fields = {
        "bodies": "00" * 8 * MAX_ENTRIES,
        "commitments": ["00" * 48] * MAX_ENTRIES,
        "proofs": ["00" * proof] * 2,
        "everything else": "0" * 4096,
    }
    assert len(json.dumps(fields)) < 600_000 < min(MAX_DOCUMENT_BYTES, MAX_BODY_BYTES)
