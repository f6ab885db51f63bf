"""An agent says when its breach waited longer than the breaker rules let it, unless the operator had halted."""

import logging
from pathlib import Path

import pytest

from atomic_margin.service.institution.delays import warn_if_late
from atomic_margin.service.institution.store import InstitutionStore, OwnEntry
from atomic_margin.service.protocol.documents import Settlement

from .test_breakers import rules

ANSWER = "ab" * 32
HALT = {
    "operator": "9a" * 32,
    "number": "1",
    "scope": ["settlements"],
    "reason": "an incident",
    "tick": "00" * 32,
    "tick_sequence": "7",
    "until": "9",
    "announced_at": "2026-11-28T08:00:00Z",
}


def entry(number: int, kind: str, tick: int = 7) -> OwnEntry:
    return OwnEntry(
        number=number,
        sha256=f"{number:064x}",
        kind=kind,
        document_hash=ANSWER if kind == "breach proven" else f"{number:064x}",
        document={"body": HALT} if kind == "halted" else None,
        entry={"body": {"entered_at": "2026-11-28T08:00:00Z", "tick_sequence": str(tick)}},
    )


@pytest.mark.parametrize(
    ("before", "after", "tick", "told"),
    [
        ([], [], 7, True),
        (["halted"], [], 9, False),
        (["halted"], [], 10, True),
        (["halted", "resumed"], [], 8, True),
        (["halted"], ["resumed"], 8, False),
        ([], ["halted", "resumed"], 7, False),
    ],
)
def test_what_waited_too_long_is_said_unless_there_was_a_halt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: list[str], after: list[str], tick: int, told: bool
) -> None:
    store = InstitutionStore(tmp_path)
    kinds = [*before, "breach proven", *after]
    with store.unit_of_work() as session, caplog.at_level(logging.WARNING):
        for number, kind in enumerate(kinds, 1):
            session.add(entry(number, kind, tick))
        session.flush()
        for settled, late in (("08:06:00", None), ("08:06:01", 61)):
            settlement = Settlement.model_construct(run_id="fund.7", answer=ANSWER, settled_at=f"2026-11-28T{settled}Z")
            assert warn_if_late(session, None, settlement) is None
            assert warn_if_late(session, rules(), settlement) == (late if told else None)
    assert ("fund.7 was settled 61 seconds after the longest delay" in caplog.text) is told
    store.close()
