"""Row: "server drops an answer, or skips ticks for a friend". Entries, bundles and the chain of records show it."""

from typing import Any

import pytest

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.store import OwnAnswer, OwnEntry
from atomic_margin.service.operator.runs.records import GENESIS
from atomic_margin.service.protocol.account.entries import Entry
from atomic_margin.service.protocol.account.errors import EntryRefused
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .attacks import Stage, signed_again, verify

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved")]


def test_a_taken_answer_has_an_entry_that_convicts(stage: Stage) -> None:
    with stage.agent._store.unit_of_work() as session:
        answer = session.get_one(OwnAnswer, stage.covered)
        entry = session.get_one(OwnEntry, answer.entry)
    signed, body = parse_signed(entry.entry, Entry)
    signed.verify(frozenset({stage.agent.settings.trust.operator}))
    assert body.kind is EventKind.COVERED
    assert entry.document_hash == SignedDocument.parse(answer.document).body_hash()
    assert stage.bundle["body"]["answer"] == answer.document


@pytest.mark.parametrize("cheat", ["other document", "other signer"])
def test_an_entry_about_something_else_counts_as_none(stage: Stage, cheat: str, monkeypatch: Any) -> None:
    """The answer stays outstanding at the agent, which sends the very same one again."""
    with stage.agent._store.unit_of_work() as session:
        row = session.get_one(OwnAnswer, stage.covered)
        entry = session.get_one(OwnEntry, row.entry).entry
    if cheat == "other signer":
        entry = signed_again(entry, Identity.generate())
    sent: list[Any] = []
    signed = SignedDocument.parse(entry)
    monkeypatch.setattr(stage.agent._client, "answer", lambda run_id, document: sent.append(document) or signed)
    for _ in range(2):
        with pytest.raises((AgentRefused, EntryRefused)):
            stage.agent._outbox.resend()
    assert sent == [stage.answer] * 2


def test_records_are_chained_so_none_can_be_left_out(stage: Stage) -> None:
    first, second = (stage.view(run)["record"] for run in (stage.covered, stage.open))
    assert [RunRecord.parse(record["body"]).number for record in (first, second)] == [1, 2]
    assert first["body"]["previous"] == GENESIS
    assert second["body"]["previous"] == SignedDocument.parse(first).body_hash()
    # A record changed afterwards is another one, and the published bundle about it fails.
    other = signed_again(first, stage.server, number="2")
    verdict = verify(stage, signed_again(stage.bundle, stage.server, run=other))
    assert (verdict["valid"], verdict["failed"]) == (False, "account")
