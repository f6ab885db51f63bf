"""Row: "server drops an answer, or skips ticks for a friend". Receipts, bundles and the chain of records show it."""

from typing import Any

import pytest

from atomic_margin.service.errors import RemoteError, SignatureInvalid
from atomic_margin.service.institution.store import OwnAnswer
from atomic_margin.service.operator.runs.records import GENESIS
from atomic_margin.service.protocol.documents import Receipt, RunRecord, parse_signed
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .attacks import Stage, signed_again, verify

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved")]


def test_a_taken_answer_has_a_receipt_that_convicts(stage: Stage) -> None:
    with stage.agent._store.unit_of_work() as session:
        answer = session.get_one(OwnAnswer, 1)
    signed, receipt = parse_signed(answer.receipt, Receipt)
    signed.verify(frozenset({stage.agent.settings.trust.operator}))
    assert receipt.document == SignedDocument.parse(answer.document).body_hash()
    assert stage.bundle["body"]["answer"] == answer.document


@pytest.mark.parametrize("cheat", ["other document", "other signer"])
def test_a_receipt_for_something_else_counts_as_none(stage: Stage, cheat: str, monkeypatch: Any) -> None:
    """The answer stays outstanding at the agent, which sends the very same one again."""
    with stage.agent._store.unit_of_work() as session:
        receipt = session.get_one(OwnAnswer, 1).receipt
    if cheat == "other signer":
        named = {"document": SignedDocument.parse(stage.answer).body_hash()}
        receipt = signed_again(receipt, Identity.generate(), **named)
    sent: list[Any] = []
    signed = SignedDocument.parse(receipt)
    monkeypatch.setattr(stage.agent._client, "answer", lambda run_id, document: sent.append(document) or signed)
    for _ in range(2):
        with pytest.raises((RemoteError, SignatureInvalid)):
            stage.agent._send_outstanding()
    assert sent == [stage.answer] * 2


def test_records_are_chained_so_none_can_be_left_out(stage: Stage) -> None:
    first, second = (stage.view(run)["record"] for run in (stage.covered, stage.open))
    assert [RunRecord.parse(record["body"]).number for record in (first, second)] == [1, 2]
    assert first["body"]["previous"] == GENESIS
    assert second["body"]["previous"] == SignedDocument.parse(first).body_hash()
    # A record changed afterwards is another one, and the published bundle about it fails.
    other = signed_again(first, stage.server, number="2")
    verdict = verify(stage, signed_again(stage.bundle, stage.server, run=other))
    assert (verdict["valid"], verdict["failed"]) == (False, "answer")
