"""An overdue run names when its time began and when it ended, or neither."""

from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.protocol.account.events import Overdue

from ..log.parties import Kept
from .documents import TIME, named


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
