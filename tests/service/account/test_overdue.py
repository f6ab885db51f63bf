"""An overdue run names when its time began and when it ended, or neither."""

from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.log.clock import Elapsed, check_deadline
from atomic_margin.service.log.errors import DeadlineOpen, ProofInvalid
from atomic_margin.service.protocol.account.events import Overdue
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.leaves import entry_leaf

from ..log.parties import Kept
from .documents import TIME, Parties, named


def test_both_or_neither() -> None:
    kept = Kept()
    evidence = kept.evidence(kept.note(30, 10, 10), 7).canonical()
    body: dict[str, Any] = {
        "run_id": "fund.7",
        "run": named("run"),
        "operator": kept.keeper.public_key,
        "institution": "fund",
        "declared_at": TIME,
    }
    whole = {**body, "begins": evidence, "ends": kept.note(40, 910, 910)}
    assert Overdue.parse(whole).canonical() == whole
    assert Overdue.parse(body).canonical() == body
    for missing in ("begins", "ends"):
        with pytest.raises(MalformedDocument, match=missing):
            Overdue.parse({name: value for name, value in whole.items() if name != missing})


def test_the_time_that_a_record_gives_is_over_by_witnesses_or_not_at_all() -> None:
    parties, kept = Parties(), Kept()
    parties.opened()
    parties.enter(parties.submission(1, "book"))
    parties.tick()
    parties.enter(parties.run_opened())
    record = RunRecord.parse(parties.enter(parties.record(deadline="2026-11-27T12:15:00Z")).body)
    entry, _ = parties.entries[-1]
    seconds, leaf = record.answer_seconds, entry_leaf(entry).to_bytes()
    assert seconds == 900
    kept.log.append(leaf)
    begins, ends = kept.evidence(kept.note(41, 10, 20), 40), kept.note(41, 20 + seconds, 20 + seconds)
    assert check_deadline(begins, ends, leaf, seconds, kept.trust()) == Elapsed(20, 20 + seconds)
    with pytest.raises(DeadlineOpen):
        check_deadline(begins, kept.note(41, 19 + seconds, 19 + seconds), leaf, seconds, kept.trust())
    # By the time of another entry.
    other = entry_leaf(parties.entries[-2][0]).to_bytes()
    with pytest.raises(ProofInvalid):
        check_deadline(begins, ends, other, seconds, kept.trust())
